"""The wheel alone does the work: no file that a package reads is left in the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = ("adapert", "analysis", "search_spaces", "studies")


def run(*words: object, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel, and with what the tests' own environment has besides."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source, folder=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", folder=folder)
    (wheel,) = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", wheel, folder=folder)
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
    )
    # A path alone: the .pth files in it, one of which leads to the checkout, are not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


@pytest.mark.slow
def test_the_wheel_alone_goes_from_cells_to_a_report(installed: Path, tmp_path: Path) -> None:
    where = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)})"
    for file in run(installed / "python", "-c", where, folder=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent)
    adapert = installed / "adapert"
    run(adapert, "simulate", "--out", "input", folder=tmp_path)
    files = ["--network", "input/network.tsv.gz", "--embeddings", "input/text.npz"]
    splits = ["--split-fractions", "0.5,0.2,0.3"]
    run(adapert, "prepare", "input/cells.h5ad", *files, *splits, "--out", "data", folder=tmp_path)
    run(adapert, "launch", "quickstart", "--data", "data", "--max-epochs", "2", folder=tmp_path)
    run(adapert, "report", "quickstart", folder=tmp_path)
    assert "Contents</h2>" in (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    presets = run(
        adapert, "launch", "search", "--config", "paper", "--data", "data", "--dry-run", folder=tmp_path
    )
    assert "The preset 'paper' goes with data" in presets
