"""Commands that begin a study, up to its first trial; `tests/slow/test_main_path.py` runs them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from fixtures.command import Refused, RunCommand, Simulated
from fixtures.ledger import MakeLedger
from fixtures.narrowed import of_kind
from rich.console import Console

from adapert.cli.studies import COHORT_SIZE
from adapert.errors import InputError
from adapert.records import TrialRecord, TrialStatus
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import Closing
from adapert.study.engine.state import fold
from adapert.study.execution.resources import Resources
from adapert.study.plan.definition import restore_study
from adapert.study.plan.study import Design, FixedRung, Search, Study
from adapert.workspace.launch import Stores
from adapert.workspace.session import StudyResult

Launch = Callable[..., str]


@pytest.fixture
def launch(refused: Refused, simulated: Simulated) -> Launch:
    """Run a `launch` that must be refused on the prepared data set."""

    def run(*words: object) -> str:
        return refused("launch", *words, "--data", simulated.prepared)

    return run


def test_dry_run_prints_the_plan_and_writes_nothing(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--seeds", "2", "--max-epochs", "3", "--time-budget", "1.5h"]
    ended = adapert("launch", "ablation", *words, "--dry-run", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "12 trials of at most 3 epochs" in ended.out
    assert "no_context: model.context = constant" in ended.out
    # Two validation perturbations of one family or two, and two seeds.
    assert "detect" in ended.out
    assert "Warning: No p can pass: the smallest of 2 perturbations is 0.5" in ended.out
    assert "Warning: With 2 seeds hardly any p can pass" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_an_ablation_starts_from_the_paper_s_preset_by_name(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--max-epochs", "3", "--dry-run", "--device", "cpu"]
    ended = adapert("launch", "ablation", "--config", "paper", *words)
    assert ended.status == 0
    assert "12 trials of at most 3 epochs" in ended.out
    assert "prepared with --deg-adjust fdr, so its DEGs are others." in " ".join(ended.out.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["never", "0", ""])
def test_epochs_that_are_no_number_are_refused(launch: Launch, given: str) -> None:
    said = launch("search", "--min-epochs", given)
    assert f"--min-epochs must be auto or a whole number of at least 1, but it is '{given}'" in said


def test_options_without_an_effect_are_refused(launch: Launch) -> None:
    said = launch("ablation", "--optuna-storage", "sqlite:///o.db", "--dry-run")
    assert "'ablation' is a design, to which it suggests nothing. Leave --optuna-storage out." in said
    assert "no --address names one" in launch("search", "--ship-data", "--dry-run")


# the data


def test_a_study_without_data_is_refused(refused: Refused) -> None:
    assert "Give --data DIR" in refused("launch", "quickstart")


@pytest.mark.parametrize("is_there", [False, True])
def test_data_that_were_not_prepared_are_refused(refused: Refused, tmp_path: Path, is_there: bool) -> None:
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
    ("networks", "says"),
    [
        ("go", "there is no 'go'. The data set has 'network'"),
        ("network+network", "must name each source once"),
    ],
)
def test_networks_that_the_data_do_not_have_are_refused_before_a_trial(
    refused: Refused, simulated: Simulated, networks: str, says: str
) -> None:
    wanted = f"graph.networks={networks}"
    assert says in refused("launch", "quickstart", "--data", simulated.prepared, "--set", wanted)


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
def test_damaged_data_are_refused_before_a_trial(
    refused: Refused, simulated: Simulated, tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    shutil.copytree(simulated.prepared, tmp_path / "data")
    damage(tmp_path / "data")
    message = refused("launch", "quickstart", "--data", "data")
    assert says in message
    assert "'adapert prepare'" in message


def test_train_runs_the_config_as_it_is_under_the_file_s_name(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("model: {tau: 0.7}")

    def operate(folder: Path, *_: object) -> StudyResult:
        study = restore_study(fold(read_events(folder / LEDGER_FILE)).definition.study)
        finished = TrialRecord("001", 0, "full", 0, {}, status=TrialStatus.FINISHED)
        assert (study.name, study.base.model.tau, of_kind(Design, study.plan).seeds_of("full")) == (
            "mine",
            0.7,
            range(2),
        )
        return StudyResult(study, [finished], 2, Closing(TrialStatus.FINISHED), 1.0, 0.0)

    monkeypatch.setattr("adapert.workspace.launch.operate", operate)
    ended = adapert("train", "mine.yaml", "--data", simulated.prepared, "--seeds", "2")
    assert (ended.status, ended.err) == (0, "")
    assert "Next: adapert predict mine GENE" in ended.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["my best.yaml"], "it is 'my best'. Give another name."),
        (["my best.yaml", "--name", "mine", "--set", "model.tua=1"], "Did you mean 'model.tau'?"),
        (["no.yaml"], "there is no file 'no.yaml'"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused(
    refused: Refused, simulated: Simulated, tmp_path: Path, words: list[str], says: str
) -> None:
    (tmp_path / "my best.yaml").write_text("{}")
    assert says in refused("train", *words, "--data", simulated.prepared)
    assert not (tmp_path / "runs").exists()


# recipes, configs and budgets


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["quikstart"], "Did you mean 'quickstart'?"),
        (["mine.py"], "there is no file 'mine.py'"),
        (["ablation", "--set", "model.dropuot=0.2"], "Did you mean 'model.dropout'?"),
        (
            ["ablation", "--set", "model.tau=abc"],
            "Config field 'model.tau' must be a number, but it is 'abc'.",
        ),
        (["ablation", "--set", "model.tau=-1"], "greater than 0, but it is -1"),
        (["ablation", "--set", "model.tau=.nan"], "finite number"),
        (["ablation", "--set", "model.tau=[1"], "--set must be FIELD=VALUE"),
        (["ablation", "--set", "model.tau"], "--set must be FIELD=VALUE"),
        (["ablation", "--set", "=1"], "--set must be FIELD=VALUE"),
        (["ablation", "--config", "no.yaml"], "there is no file 'no.yaml'"),
        (["ablation", "--config", "papr"], "and no preset 'papr'. Did you mean 'paper'? Presets: 'paper'."),
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
        (["search", "--trial-hours", "-1"], "--trial-hours"),
        (["search", "--trial-hours", "2h"], "--trial-hours"),
        (["search", "--target", "good"], "--target must be a number, but it is 'good'. See"),
        (["search", "--max-failures", "-1"], "--max-failures"),
        (["search", "--seeds-per-trial", "0"], "--seeds-per-trial"),
        (["ablation", "--seeds-per-trial", "2"], "--seeds-per-trial"),
        (["ablation", "--deterministic"], "--deterministic"),
        (["search", "--device", "tpu"], "--device must be one of auto, cpu, cuda"),
    ],
)
def test_a_wrong_launch_is_refused(launch: Launch, words: list[str], says: str) -> None:
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
def test_a_broken_recipe_is_refused(launch: Launch, tmp_path: Path, text: str, says: str) -> None:
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
def test_a_wrong_config_is_refused(launch: Launch, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert says in launch("ablation", "--config", "config.yaml")


def test_a_config_of_other_data_is_refused(refused: Refused, simulated: Simulated, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"data: {{path: {simulated.prepared}, fingerprint: other}}")
    assert "fingerprint other" in refused("launch", "ablation", "--config", "config.yaml")


def test_a_workspace_that_is_a_file_is_refused(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = launch("ablation", "--workspace", "file")
    assert "'file'" in message
    assert "Name another place" in message


def test_a_study_that_exists_is_refused(launch: Launch, make_ledger: MakeLedger) -> None:
    make_ledger("ablation")
    message = launch("ablation")
    assert "adapert resume ablation" in message
    assert "under another --name" in message


# what the machine does not have; Ray would wait for it indefinitely


def test_cuda_on_a_machine_without_it_is_refused(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_gpus_that_the_machine_does_not_have_are_refused(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, wanted: str, n_gpus: int, says: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    assert says in launch("ablation", "--gpus-per-trial", wanted)


def test_cores_that_the_machine_does_not_have_are_refused(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.study.execution.resources.count_cpus", lambda: 2)
    message = launch("ablation", "--cpus-per-trial", "3")
    assert "--cpus-per-trial" in message
    assert "has 2" in message


def test_reproduce_refuses_what_launch_refuses(
    refused: Refused, simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = refused("reproduce", "--data", simulated.prepared, "--device", "cuda")
    assert "--device cpu" in message


def test_reproduce_refuses_a_workspace_where_its_study_is_another(
    adapert: RunCommand, simulated: Simulated, make_ledger: MakeLedger
) -> None:
    make_ledger("search")
    ended = adapert("reproduce", "--data", simulated.prepared, "--device", "cpu")
    assert ended.status == 2
    assert "'search' exists in 'runs' with another config, plan or data" in ended.err


def test_launch_hands_its_options_over(
    adapert: RunCommand, simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def launch(
        study: Study,
        workspace: Path,
        resources: Resources,
        limits: Limits,
        console: Console,
        stores: Stores,
        recipe: str,
    ) -> NoReturn:
        given.append((study, resources, limits, stores, recipe))
        raise InputError("Enough.")

    monkeypatch.setattr("adapert.workspace.launch.launch", launch)
    words = ["--data", simulated.prepared, "--device", "cpu", "--seeds-per-trial", "3", "--deterministic"]
    words += [
        "--trial-hours",
        "2",
        "--target",
        "0.5",
        "--max-failures",
        "1",
        "--ship-data",
        "--address",
        "auto",
    ]
    words += ["--tracking-uri", "http://server", "--optuna-storage", "sqlite:///o.db", "--seed", "7"]
    words += ["--min-epochs", "12"]
    assert adapert("launch", "search", *words).status == 2
    ((study, resources, limits, stores, recipe),) = given
    plan = of_kind(Search, study.plan)
    assert (plan.seeds_per_config, plan.cohort_size, plan.seed) == (3, COHORT_SIZE, 7)
    assert plan.first_rung == FixedRung(12)
    assert resources == Resources(device="cpu", address="auto", ships_data=True, max_failures=1)
    assert limits == Limits(trial_hours=2, target=0.5)
    assert stores == Stores(tracking_uri="http://server", optuna_storage="sqlite:///o.db")
    assert recipe == "search"


@pytest.mark.parametrize(
    ("words", "executor"),
    [
        (("launch", "search"), "ray"),
        (("launch", "search", "--executor", "local"), "local"),
        (("launch", "quickstart"), "local"),
        (("launch", "quickstart", "--executor", "ray"), "ray"),
        (("launch", "quickstart", "--max-concurrent", "2"), "ray"),
        (("train", "mine.yaml"), "local"),
        (("train", "mine.yaml", "--seeds", "2"), "ray"),
    ],
)
def test_what_runs_the_trials_is_chosen_by_their_number_unless_it_is_given(
    adapert: RunCommand,
    simulated: Simulated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    executor: str,
) -> None:
    given: list[Resources] = []

    def launch(study: Study, workspace: Path, resources: Resources, *_: object) -> NoReturn:
        given.append(resources)
        raise InputError("Enough.")

    monkeypatch.setattr("adapert.workspace.launch.launch", launch)
    (tmp_path / "mine.yaml").write_text("model: {tau: 0.7}")
    assert adapert(*words, "--data", simulated.prepared, "--device", "cpu").status == 2
    assert [resources.executor for resources in given] == [executor]


def test_what_needs_ray_is_refused_without_it(launch: Launch) -> None:
    message = launch("search", "--executor", "local", "--address", "auto", "--max-concurrent", "2")
    assert "--address and --max-concurrent 2 came with it" in message
    assert "Did you mean 'local'?" in launch("search", "--executor", "locl")


def test_a_name_of_300_letters_is_refused_before_anything_is_written(launch: Launch) -> None:
    assert "at most 120 bytes" in launch("quickstart", "--name", "n" * 300)


@pytest.mark.parametrize(
    ("recipe", "setting", "says"),
    [
        (
            "search_app",
            "model.name=kernel_ridge",
            "'search_app' sets model.name itself, to app, ",
        ),
        (
            "search",
            "model.tau=0.5",
            "'search' searches model.tau itself (0.1 to 2, log scale), so model.tau=0.5 would change",
        ),
        ("sensitivity", "loss.lambda_non=0.5", "'sensitivity' sets loss.lambda_non itself, to 0.0, "),
        (
            "search_kernel_ridge",
            "kernel_ridge.other_weight=1",
            "data.embeddings '' picks no second. Name sev",
        ),
        ("search_app", "txpert.layer=gat", "'app' does not read 'txpert.layer': it reads data, graph, "),
    ],
)
def test_a_setting_that_would_change_nothing_is_refused(
    launch: Launch, recipe: str, setting: str, says: str
) -> None:
    assert says in launch(recipe, "--set", setting)
