"""The command line where all is well; `test_cli_errors.py` has what a user can get wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import pandas as pd
import pytest
import typer
from fixtures.command import RunCommand, Simulated

from adapert import __version__
from adapert.cli import app
from adapert.records import LONG_COLUMNS

COMMANDS = ("simulate", "prepare", "launch", "reproduce", "pick", "evaluate", "figures", "ui")
HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas", "scanpy", "anndata", "numpy", "sklearn", "matplotlib")


def run_installed(*words: object, directory: Path) -> "subprocess.CompletedProcess[str]":
    """Run the installed command in a process of its own."""
    command = [str(Path(sys.executable).with_name("adapert")), *map(str, words)]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def options_of(command: str) -> set[str]:
    parameters = typer.main.get_command(app).commands[command].params
    return {name for parameter in parameters for name in parameter.opts if name.startswith("--")}


def test_every_command_is_tested():
    assert tuple(typer.main.get_command(app).commands) == COMMANDS


def test_help_lists_every_command(adapert: RunCommand):
    ended = adapert("--help")
    assert ended.status == 0
    assert all(re.search(rf"^\W*{command} ", ended.out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_every_option(adapert: RunCommand, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    ended = adapert(command, "-h")
    assert ended.status == 0
    assert "…" not in ended.out  # a name cut short cannot be typed
    assert options_of(command)
    for option in options_of(command):
        assert re.search(rf"^\W*{option}\b.*<.*>.*\w{{2}}", ended.out, re.MULTILINE), option


def test_no_word_at_all_prints_the_help(adapert: RunCommand):
    ended = adapert()
    assert ended.status == 2
    assert "Commands" in ended.out
    assert ended.err == ""


def test_version_is_printed(adapert: RunCommand):
    ended = adapert("--version")
    assert (ended.status, ended.out) == (0, f"adapert {__version__}\n")


def test_help_imports_nothing_heavy():
    program = f"""
import sys
from adapert.cli import main
sys.argv = ["adapert", "prepare", "--help"]
try:
    main()
finally:
    print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "[]\n"


def test_installed_command_simulates_and_prepares_as_its_hint_says(tmp_path):
    simulated = run_installed("simulate", "--out", "demo", directory=tmp_path)
    assert (simulated.returncode, simulated.stderr) == (0, "")
    hint = simulated.stdout.splitlines()[-1].split()
    prepared = run_installed(*hint[1:], directory=tmp_path)
    assert (prepared.returncode, prepared.stderr) == (0, "")
    assert "Wrote demo/prepared. Next: adapert reproduce --data demo/prepared" in prepared.stdout
    manifest = json.loads((tmp_path / "demo" / "prepared" / "manifest.json").read_text())
    assert manifest["fingerprint"] in prepared.stdout
    assert sorted(os.listdir(tmp_path / "demo")) == [
        "cells.h5ad",
        "network.tsv.gz",
        "prepared",
        "text.npz",
        "truth.npz",
    ]


def test_installed_command_refuses_in_one_sentence(tmp_path):
    ended = run_installed("launch", "quickstart", "--data", "no", directory=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "Error: --data must be a directory made by 'adapert prepare', but 'no' has no manifest.json.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_prepare_tells_what_it_guessed(adapert: RunCommand, simulated: Simulated):
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    ended = adapert("prepare", simulated.cells, *files, "--split-fractions", "0.5", "0.2", "0.3")
    assert (ended.status, ended.err) == (0, "")
    assert "--perturbation-column perturbation (guessed)" in ended.out
    assert "X holds counts: normalised and logged" in ended.out
    assert re.search(r"splits +train 6, validation 2, test 4", ended.out)


def test_dry_run_prints_the_plan_and_writes_nothing(adapert: RunCommand, simulated: Simulated, tmp_path):
    words = ["--data", simulated.prepared, "--seeds", "2", "--max-epochs", "3", "--time-budget", "1.5h"]
    ended = adapert("launch", "ablation", *words, "--dry-run", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "8 trials of at most 3 epochs" in ended.out
    assert "no_context: model.context = constant" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_evaluate_prints_and_writes_every_model_beside_the_ceilings(
    adapert: RunCommand, simulated: Simulated, tmp_path
):
    words = ["--data", simulated.prepared, "--models", "control,ridge_both", "--device", "cpu"]
    ended = adapert("evaluate", *words)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("Opened: the test split of data ")
    assert "4 test perturbations" in ended.out
    for row in ("control", "ridge_both", "ceiling: split halves"):
        assert re.search(rf"^{row} .*±", ended.out, re.MULTILINE), row
    folder = tmp_path / "runs" / "evaluations" / "test_001"
    assert f"Wrote {folder.relative_to(tmp_path)}" in ended.out
    table = pd.read_parquet(folder / "per_perturbation.parquet")
    assert tuple(table.columns) == LONG_COLUMNS
    assert set(table["variant"]) >= {"control", "ridge_both", "split_half"}
    record = json.loads((folder / "evaluation.json").read_text())
    assert record["opened"]["split"] == "test"
    assert record["git_commit"]


def test_evaluate_on_validation_needs_no_test_split(adapert: RunCommand, simulated: Simulated, tmp_path):
    shutil.copytree(simulated.prepared, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "test")
    words = ["--data", "data", "--models", "mean", "--split", "validation", "--out", "here"]
    ended = adapert("evaluate", *words, "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "The test split stays closed." in ended.out.splitlines()[0]
    assert (tmp_path / "here" / "summary.csv").is_file()


def test_evaluate_emits_a_pair_for_cell_eval(adapert: RunCommand, simulated: Simulated, tmp_path):
    words = ["--data", simulated.prepared, "--models", "mean", "--emission", "tiled"]
    ended = adapert("evaluate", *words, "--emit", "predicted.h5ad", "real.h5ad", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "Wrote predicted.h5ad and real.h5ad" in ended.out
    shapes = {anndata.read_h5ad(tmp_path / name).shape for name in ("predicted.h5ad", "real.h5ad")}
    assert len(shapes) == 1


def test_evaluate_of_a_model_that_diverges_ends_with_1(adapert: RunCommand, simulated: Simulated, tmp_path):
    words = ["--data", simulated.prepared, "--models", "adapert", "--seeds", "1", "--device", "cpu"]
    ended = adapert("evaluate", *words, "--set", "training.learning_rate=1e30")
    assert ended.status == 1
    assert re.fullmatch(r"Error: .* must stay finite.*\n", ended.err)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_and_no_traceback(adapert: RunCommand, simulated: Simulated, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adapert.data.prepare.prepare", interrupt)
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    ended = adapert("prepare", simulated.cells, *files)
    assert (ended.status, ended.err) == (130, "")


def test_an_error_of_the_system_is_told_in_a_sentence(adapert: RunCommand, monkeypatch):
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "cells.h5ad")

    monkeypatch.setattr("adapert.data.prepare.prepare", forbid)
    ended = adapert("prepare", "cells.h5ad", "--network", "n", "--embeddings", "t", "--out", "out")
    assert ended.status == 2
    assert ended.err.startswith("Error: Files must be open to this user, but 'cells.h5ad' is not:")
    assert ended.err.count("\n") == 1
