"""`adapert train`: one config, and what the other commands make of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.command import RunCommand
from fixtures.launched import LOCAL

from adapert.api import load_trials
from adapert.data.prepared import read_prepared

pytestmark = pytest.mark.slow


def test_a_config_of_ones_own_is_trained_predicts_and_is_run_again(
    launchable: Path, adapert: RunCommand, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("model: {tau: 0.7}\ntraining: {max_epochs: 2}\n")
    command = str(Path(sys.executable).with_name("adapert"))
    words = ["train", "mine.yaml", "--data", str(launchable), "--seeds", "2", *LOCAL]
    trained = subprocess.run([command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert trained.returncode == 0, trained.stderr
    assert "Next: adapert predict mine GENE" in trained.stdout
    trials = load_trials("mine", tmp_path / "runs", columns="all")
    assert sorted(zip(trials["seed"], trials["model.tau"], trials["epoch"], strict=True)) == [
        (0, 0.7, 2.0),
        (1, 0.7, 2.0),
    ]
    gene = read_prepared(launchable).shared.node_names[0]
    predicted = adapert("predict", "mine", gene)
    assert predicted.status == 0
    assert "Predicted by trial mine/00" in predicted.out
    again = adapert("rerun", "mine/001")
    assert again.status == 0, again.out
    assert adapert("report", "mine").status == 0


def test_a_model_of_an_installed_package_is_trained_by_workers_and_predicts(
    launchable: Path, package: Path, adapert: RunCommand, tmp_path: Path
) -> None:
    (tmp_path / "linear.yaml").write_text("model: {name: text_map}\ntraining: {max_epochs: 2}\n")
    command = str(Path(sys.executable).with_name("adapert"))
    trained = subprocess.run(
        [command, "train", "linear.yaml", "--data", str(launchable), "--executor", "ray"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert trained.returncode == 0, trained.stderr
    gene = read_prepared(launchable).shared.node_names[0]
    for words in (
        ("predict", "linear", gene),
        ("rerun", "linear/001"),
        ("evaluate", "linear.yaml", "--data", launchable, "--models", "text_map,mean", "--seeds", "2"),
    ):
        ended = adapert(*words)
        assert ended.status == 0, ended.out + ended.err
