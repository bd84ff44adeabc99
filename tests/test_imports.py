import ast
import os
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from fixtures.sources import PACKAGES, ROOT, SOURCES, parse

from adapert import __version__

# Each room may import itself and those before it.
ROOMS = (
    "adapert",
    "adapert.errors",
    "adapert.files",
    "adapert.csv_files",
    "adapert.html",
    "adapert.process",
    "adapert.addresses",
    "adapert.commands",
    "adapert.seeding",
    "adapert.versions",
    "adapert.plugins",
    "adapert.config",
    "adapert.records",
    "adapert.data",
    "adapert.evaluation",
    "adapert.statistics",
    "adapert.models",
    "adapert.training",
    "adapert.registry",
    "adapert.study.plan",
    "search_spaces",
    "studies",
    "adapert.study.engine",
    "adapert.study.execution",
    "adapert.testing",
    "adapert.tracking",
    "adapert.results",
    "adapert.prediction",
    "adapert.workspace",
    "adapert.selection",
    "adapert.comparison",
    "adapert.doctor",
    "analysis",
    "adapert.arguments",
    "adapert.api",
    "adapert.cli",
)
# What a room must not need: the model knows nothing of studies, and figures redraw without torch or Ray.
FORBIDDEN = {
    "adapert.data": {"torch", "ray", "optuna", "mlflow"},
    "adapert.evaluation": {"torch", "ray", "optuna", "mlflow"},
    "adapert.statistics": {"torch", "ray", "optuna", "mlflow"},
    "adapert.models": {"ray", "optuna", "mlflow"},
    "adapert.training": {"ray", "optuna", "mlflow"},
    "adapert.registry": {"ray", "optuna", "mlflow"},
    "search_spaces": {"torch", "ray", "mlflow"},
    "adapert.study.plan": {"ray", "mlflow"},
    "adapert.study.engine": {"torch", "ray", "mlflow"},
    "adapert.study.execution": {"optuna", "mlflow"},
    "adapert.testing": {"torch", "ray", "mlflow"},
    "adapert.tracking": {"torch", "ray", "optuna"},
    "adapert.results": {"torch", "ray"},
    "adapert.selection": {"torch", "ray", "optuna"},
    "adapert.comparison": {"ray", "optuna", "mlflow"},
    "analysis": {"torch", "ray"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


@cache
def imported(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from adapert.data import prepare` imports a module of the room, `from x import y` a name.
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def test_a_room_imports_only_rooms_before_it() -> None:
    forward = {
        (module_name(path), name)
        for path in SOURCES
        for name in imported(path)
        if name.split(".")[0] in PACKAGES
        and ROOMS.index(room_of(name)) > ROOMS.index(room_of(module_name(path)))
    }
    assert forward == set()


def test_a_room_does_not_need_what_later_rooms_are_made_of() -> None:
    needed = {
        (module_name(path), name)
        for path in SOURCES
        for name in imported(path)
        if name.split(".")[0] in FORBIDDEN.get(room_of(module_name(path)), set())
    }
    assert needed == set()


def test_no_module_needs_itself_by_way_of_others() -> None:
    """Importing a module imports its packages first, so what a package's `__init__` needs counts, too."""
    known = {module_name(path) for path in SOURCES}
    TopologicalSorter(
        {module_name(path): (imported(path) & known) - {module_name(path)} for path in SOURCES}
    ).prepare()


def test_no_two_parts_of_the_analysis_need_each_other() -> None:
    """A part is a package or a module of its own: `analysis.tables`, `analysis.claims`."""
    needed: dict[str, set[str]] = {}
    for path in (ROOT / "analysis").rglob("*.py"):
        here, *others = (".".join(name.split(".")[:2]) for name in (module_name(path), *imported(path)))
        needed.setdefault(here, set()).update(
            other for other in others if other.startswith("analysis.") and other != here
        )
    TopologicalSorter(needed).prepare()


def test_reading_results_and_their_analysis_import_nothing_that_takes_seconds() -> None:
    """Each of these costs as much as reading a thousand trials does."""
    code = """
import importlib, pkgutil, sys
import adapert.api, adapert.prediction.tracked, adapert.selection.reevaluate
import adapert.results.find, analysis.figures.recipes, analysis.sources, adapert.tracking.runs
slow = {'torch', 'numba', 'ray', 'mlflow', 'seaborn', 'scipy.stats', 'matplotlib.pyplot'}
print(sorted(slow & set(sys.modules)))
modules = sorted(module.name for module in pkgutil.walk_packages(analysis.__path__, "analysis."))
for module in modules:
    importlib.import_module(module)
print(modules)
print([name for name in ("torch", "ray", "mlflow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    of_commands, modules, of_the_analysis = done.stdout.splitlines()
    assert of_commands == of_the_analysis == "[]"
    assert "analysis.report.page" in modules


@pytest.mark.parametrize(
    "code",
    [
        "import adapert",
        "from typer.testing import CliRunner\n"
        "from adapert.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0",
    ],
    ids=["import", "help"],
)
def test_pytorch_geometric_is_not_loaded_where_no_graph_attention_is_built(code: str) -> None:
    """It takes 3 s and 500 MB; for a trial, see `test_same_seed_gives_the_same_losses_in_a_fresh_process`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('torch_geometric' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    assert done.stdout.split() == ["False"]


def test_a_forward_import_is_seen() -> None:
    assert ROOMS.index(room_of("adapert.tracking.read")) > ROOMS.index(
        room_of("adapert.models.adapert.model")
    )
    assert room_of("adapert.study.engine.runner") == "adapert.study.engine"


def test_the_page_of_the_house_names_every_room() -> None:
    page = (ROOT / "docs/how_it_works.md").read_text()
    rooms = {room.replace(".", "/") for room in ROOMS[1:] if (ROOT / room.replace(".", "/")).is_dir()}
    missing = {room for room in rooms if not re.search(rf"`{room}/?`", page)}
    assert not missing


def test_a_folder_of_the_same_name_does_not_hide_the_package(tmp_path: Path) -> None:
    # As the clone does in the folder above it: a folder that is no package.
    (tmp_path / "adapert" / "docs").mkdir(parents=True)
    ended = subprocess.run(
        [sys.executable, "-c", "import adapert; print(adapert.__version__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, __version__)
