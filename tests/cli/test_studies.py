"""Commands that run studies, up to their first trial; `test_main_path.py` runs them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.command import Refused, RunCommand, Simulated

Launch = Callable[..., str]


@pytest.fixture
def launch(refused: Refused, simulated: Simulated) -> Launch:
    """Run a `launch` that must be refused on the prepared data set."""

    def run(*words: object) -> str:
        return refused("launch", *words, "--data", simulated.prepared)

    return run


def test_dry_run_prints_the_plan_and_writes_nothing(adapert: RunCommand, simulated: Simulated, tmp_path):
    words = ["--data", simulated.prepared, "--seeds", "2", "--max-epochs", "3", "--time-budget", "1.5h"]
    ended = adapert("launch", "ablation", *words, "--dry-run", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "8 trials of at most 3 epochs" in ended.out
    assert "no_context: model.context = constant" in ended.out
    assert list(tmp_path.iterdir()) == []


# the data


def test_a_study_without_data_is_refused(refused):
    assert "Give --data DIR" in refused("launch", "quickstart")


@pytest.mark.parametrize("is_there", [False, True])
def test_data_that_were_not_prepared_are_refused(refused, tmp_path, is_there):
    if is_there:
        (tmp_path / "data").mkdir()
    assert "made by 'adapert prepare'" in refused("launch", "quickstart", "--data", "data")


def _remove_array(data: Path) -> None:
    (data / "train" / "delta.npy").unlink()


def _cut_array(data: Path) -> None:
    path = data / "train" / "delta.npy"
    path.write_bytes(path.read_bytes()[:-100])


def _empty_array(data: Path) -> None:
    (data / "shared" / "node_names.npy").write_bytes(b"")


def _cut_manifest(data: Path) -> None:
    (data / "manifest.json").write_text('{"format_version": 1, ')


def _change_version(data: Path) -> None:
    (data / "manifest.json").write_text('{"format_version": 99, "fingerprint": "0"}')


def _drop_fingerprint(data: Path) -> None:
    (data / "manifest.json").write_text('{"format_version": 1}')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_remove_array, "delta.npy"),
        (_cut_array, "delta.npy"),
        (_empty_array, "node_names.npy"),
        (_cut_manifest, "manifest.json"),
        (_change_version, "has 99"),
        (_drop_fingerprint, "manifest.json"),
    ],
)
def test_damaged_data_are_refused_before_a_trial(refused, simulated, tmp_path, damage, says):
    shutil.copytree(simulated.prepared, tmp_path / "data")
    damage(tmp_path / "data")
    message = refused("launch", "quickstart", "--data", "data")
    assert says in message
    assert "'adapert prepare'" in message


# recipes, configs and budgets


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["quikstart"], "Did you mean 'quickstart'?"),
        (["mine.py"], "there is no file 'mine.py'"),
        (["ablation", "--set", "model.dropuot=0.2"], "Did you mean 'model.dropout'?"),
        (["ablation", "--set", "model.tau=abc"], "Config field 'model.tau'"),
        (["ablation", "--set", "model.tau=-1"], "greater than 0, but it is -1"),
        (["ablation", "--set", "model.tau=.nan"], "finite number"),
        (["ablation", "--set", "model.tau=[1"], "--set must be FIELD=VALUE"),
        (["ablation", "--set", "model.tau"], "--set must be FIELD=VALUE"),
        (["ablation", "--set", "=1"], "--set must be FIELD=VALUE"),
        (["ablation", "--config", "no.yaml"], "there is no file 'no.yaml'"),
        (["ablation", "--time-budget", ""], "--time-budget"),
        (["ablation", "--time-budget", "2"], "--time-budget"),
        (["ablation", "--time-budget", "h"], "--time-budget"),
        (["ablation", "--time-budget", "-2h"], "--time-budget"),
        (["ablation", "--time-budget", "0s"], "--time-budget"),
        (["ablation", "--time-budget", "²h"], "--time-budget"),
        (["ablation", "--trials", "4"], "Use --seeds"),
        (["ablation", "--sampler", "tpe"], "--sampler"),
        (["search", "--seeds", "4"], "Use --trials"),
        (["search", "--sampler", "grid"], "'loss.lambda_non' is a continuous range"),
        (["search", "--sampler", "tpa"], "Did you mean 'tpe'?"),
        (["search", "--trials", "0"], "--trials"),
        (["search", "--max-epochs", "0"], "--max-epochs"),
        (["search", "--name", "a/b"], "'a/b'"),
        (["search", "--name", ""], "it is ''"),
        (["search", "--device", "tpu"], "--device must be one of auto, cpu, cuda"),
    ],
)
def test_a_wrong_launch_is_refused(launch, words, says):
    assert says in launch(*words)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study = 1", "must define study(base)"),
        ("def study(base): return 1", "returned int"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def study(base", "SyntaxError"),
    ],
)
def test_a_broken_recipe_is_refused(launch, tmp_path, text, says):
    (tmp_path / "mine.py").write_text(text)
    assert says in launch("mine.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {dropuot: 0.1}", "Did you mean 'model.dropout'?"),
        ("modle: {dropout: 0.1}", "Did you mean 'model'?"),
        ("model: {tau: abc}", "Config field 'model.tau'"),
        ("model: [", "A config must be YAML"),
        ("- 1", "sections of fields"),
    ],
)
def test_a_wrong_config_is_refused(launch, tmp_path, text, says):
    (tmp_path / "config.yaml").write_text(text)
    assert says in launch("ablation", "--config", "config.yaml")


def test_a_config_of_other_data_is_refused(refused, simulated, tmp_path):
    (tmp_path / "config.yaml").write_text(f"data: {{path: {simulated.prepared}, fingerprint: other}}")
    assert "fingerprint other" in refused("launch", "ablation", "--config", "config.yaml")


def test_a_workspace_that_is_a_file_is_refused(launch, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file/studies" in launch("ablation", "--workspace", "file")


def test_a_study_that_exists_is_refused(launch, tmp_path):
    (tmp_path / "runs" / "studies" / "ablation").mkdir(parents=True)
    assert "under another --name" in launch("ablation")


# what the machine does not have; Ray would wait for it for ever


def test_cuda_on_a_machine_without_it_is_refused(launch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for device in ("cuda", "gpu"):
        assert "--device cpu" in launch("ablation", "--device", device)


@pytest.mark.parametrize(
    ("wanted", "n_gpus", "says"),
    [
        ("1", 0, "this machine has 0"),
        ("0.25", 0, "this machine has 0"),
        ("2", 1, "this machine has 1"),
        ("1.5", 4, "whole number"),
        ("-1", 1, "--gpus-per-trial"),
    ],
)
def test_gpus_that_the_machine_does_not_have_are_refused(launch, monkeypatch, wanted, n_gpus, says):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    assert says in launch("ablation", "--gpus-per-trial", wanted)


def test_cores_that_the_machine_does_not_have_are_refused(launch, monkeypatch):
    monkeypatch.setattr("adapert.study.resources.count_cpus", lambda: 2)
    message = launch("ablation", "--cpus-per-trial", "3")
    assert "--cpus-per-trial" in message
    assert "has 2" in message


def test_reproduce_refuses_what_launch_refuses(refused, simulated, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = refused("reproduce", "--data", simulated.prepared, "--device", "cuda")
    assert "--device cpu" in message


def test_reproduce_refuses_a_workspace_with_one_of_its_studies(refused, simulated, tmp_path):
    (tmp_path / "runs" / "studies" / "sensitivity").mkdir(parents=True)
    message = refused("reproduce", "--data", simulated.prepared)
    assert "'sensitivity' exists" in message
