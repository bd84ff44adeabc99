"""Commands that run studies, up to their first trial; `test_main_path.py` runs them."""

import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from fixtures.command import Refused, RunCommand, Simulated
from fixtures.ledger import HandMade, MakeLedger

from adapert.cli.studies import COHORT_SIZE
from adapert.errors import InputError
from adapert.records import EndReason, TrialRecord, TrialStatus
from adapert.study.engine.ledger import LEDGER_FILE, held, read_events
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import Closing
from adapert.study.engine.state import fold
from adapert.study.execution.resources import Resources
from adapert.study.plan.definition import restore_study
from adapert.tracking.store import DATABASE
from adapert.workspace.launch import Stores, build_base
from adapert.workspace.session import StudyResult

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


def test_train_runs_the_config_as_it_is_under_the_file_s_name(adapert, simulated, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("model: {tau: 0.7}")

    def operate(folder, *_):
        study = restore_study(fold(read_events(folder / LEDGER_FILE)).definition.study)
        finished = TrialRecord("001", 0, "full", 0, {}, status=TrialStatus.FINISHED)
        assert (study.name, study.base.model.tau, study.plan.seeds_of("full")) == ("mine", 0.7, range(2))
        return StudyResult(study, [finished], 2, Closing(TrialStatus.FINISHED), 1.0, 0.0)

    monkeypatch.setattr("adapert.workspace.launch.operate", operate)
    ended = adapert("train", "mine.yaml", "--data", simulated.prepared, "--seeds", "2")
    assert (ended.status, ended.err) == (0, "")
    assert "Next: adapert predict mine GENE --workspace runs" in ended.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["my best.yaml"], "it is 'my best'. Give another name."),
        (["my best.yaml", "--name", "mine", "--set", "model.tua=1"], "Did you mean 'model.tau'?"),
        (["no.yaml"], "there is no file 'no.yaml'"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused(refused, simulated, tmp_path, words, says):
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
        (["search", "--trial-hours", "-1"], "--trial-hours"),
        (["search", "--trial-hours", "2h"], "--trial-hours"),
        (["search", "--target", "good"], "--target"),
        (["search", "--max-failures", "-1"], "--max-failures"),
        (["search", "--seeds-per-trial", "0"], "--seeds-per-trial"),
        (["ablation", "--seeds-per-trial", "2"], "--seeds-per-trial"),
        (["ablation", "--deterministic"], "--deterministic"),
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
    message = launch("ablation", "--workspace", "file")
    assert "'file'" in message
    assert "Name another place" in message


def test_a_study_that_exists_is_refused(launch, make_ledger):
    make_ledger("ablation")
    message = launch("ablation")
    assert "adapert resume ablation --workspace runs" in message
    assert "under another --name" in message


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
    monkeypatch.setattr("adapert.study.execution.resources.count_cpus", lambda: 2)
    message = launch("ablation", "--cpus-per-trial", "3")
    assert "--cpus-per-trial" in message
    assert "has 2" in message


def test_reproduce_refuses_what_launch_refuses(refused, simulated, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = refused("reproduce", "--data", simulated.prepared, "--device", "cuda")
    assert "--device cpu" in message


def test_reproduce_refuses_a_workspace_where_its_study_is_another(adapert, simulated, make_ledger):
    make_ledger("search")
    ended = adapert("reproduce", "--data", simulated.prepared, "--device", "cpu")
    assert ended.status == 2
    assert "'search' exists in 'runs' with another config, plan or data" in ended.err


# a study that exists


@pytest.fixture
def told(adapert: RunCommand) -> Launch:
    """Run a command that must be refused in one sentence; it may leave a lock in the study's folder."""

    def run(*words: object) -> str:
        ended = adapert(*words)
        assert ended.status == 2, ended
        assert re.fullmatch(r"Error: [^\n]*[.?]\n", ended.err), ended.err
        return ended.err

    return run


@pytest.fixture
def begun(make_ledger: MakeLedger, simulated: Simulated) -> HandMade:
    """A study that a process took up and was killed in, with one trial that ended and one that had not."""
    base = build_base(simulated.prepared, None, {})
    made = make_ledger("compare_parts", base=base)
    made.opened(resources=asdict(Resources()), limits=asdict(Limits()))
    for trial in ("001", "002"):
        made.asked(trial)
        made.reported(trial, 1, 0.5)
    made.ended("001")
    return made


@pytest.mark.parametrize("command", ["resume", "extend", "stop", "status", "sync"])
def test_an_unknown_study_is_answered_with_the_nearest_by_every_command(refused, begun, command):
    message = refused(command, "compare_part")
    assert "There is no study 'compare_part' in 'runs'. Did you mean 'compare_parts'?" in message
    assert "--workspace" in message


@pytest.mark.parametrize("command", ["resume", "extend", "stop", "sync"])
def test_a_command_without_its_study_is_refused(refused, command):
    assert "Missing argument 'STUDY'" in refused(command)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stop"], "none runs 'compare_parts'"),
        (["stop", "002"], "none runs 'compare_parts'"),
        (["extend"], "A design is extended by --seeds"),
        (["extend", "--trials", "3"], "Add --seeds N"),
        (["extend", "--seeds", "0"], "--seeds"),
        (["extend", "--trials", "few"], "--trials"),
        (["resume", "--max-failures", "-1"], "--max-failures"),
        (["resume", "--max-concurrent", "0"], "--max-concurrent"),
        (["resume", "--time-budget", "2"], "--time-budget must be a number above 0"),
        (["resume", "--trial-hours", "-1"], "--trial-hours"),
        (["resume", "--target", "good"], "--target"),
    ],
)
def test_a_wrong_word_about_a_study_is_refused(told, begun, words, says):
    command, *rest = words
    assert says in told(command, "compare_parts", *rest)


@pytest.mark.parametrize("trial", ["001", "009"])
def test_a_trial_that_does_not_run_is_not_stopped(told, begun, trial):
    with held(begun.folder):
        message = told("stop", "compare_parts", trial)
    assert f"'{trial}' of 'compare_parts' does not. Running are '002'" in message


def test_stop_says_what_it_asked_for(adapert, begun, monkeypatch):
    monkeypatch.setattr("adapert.workspace.resume.has_requests", lambda _: False)
    with held(begun.folder):
        assert adapert("stop", "compare_parts", "002").out == "Asked to stop: trial 002 of compare_parts.\n"
        assert adapert("stop", "compare_parts").out == "Asked to stop: compare_parts.\n"


def test_extend_says_that_the_running_process_goes_on_with_more(adapert, begun, monkeypatch):
    monkeypatch.setattr("adapert.workspace.resume.has_requests", lambda _: False)
    with held(begun.folder):
        ended = adapert("extend", "compare_parts", "--seeds", "1")
    assert (ended.status, ended.out) == (
        0,
        "The process that runs 'compare_parts' has taken the extension up.\n",
    )


def test_changed_code_is_refused_until_it_is_accepted(adapert, told, begun, monkeypatch):
    origin = begun.state.definition.origin
    begun.change_first(origin=origin | {"code": origin["code"] | {"adapert.config": "other"}})
    message = told("resume", "compare_parts")
    assert "the code of 'adapert.config' has changed" in message
    assert "--accept-changes" in message
    operated(monkeypatch, begun)
    assert "Accepted: the code of" in adapert("resume", "compare_parts", "--accept-changes").out


def operated(monkeypatch, made, closing=None):
    """Let the process leave the study at once, with its trials as the ledger has them."""
    given = []

    def operate(folder, resources, limits, console, connect, data):
        given.append((resources, limits))
        closed = closing or Closing(TrialStatus.INTERRUPTED, message="It was interrupted.")
        records = list(made.state.records.values())
        return StudyResult(made.study, records, 4, closed, 1.0, 0.0, n_undelivered=3, trouble="gone")

    monkeypatch.setattr("adapert.workspace.resume.operate", operate)
    return given


def test_resume_goes_on_with_what_it_is_given(adapert, begun, monkeypatch):
    given = operated(monkeypatch, begun)
    words = ["--trial-hours", "1.5", "--target", "0.7", "--time-budget", "2m", "--max-concurrent", "1"]
    adapert("resume", "compare_parts", *words, "--max-failures", "5")
    assert given == [
        (Resources(max_concurrent=1, max_failures=5), Limits(seconds=120, trial_hours=1.5, target=0.7))
    ]


def test_an_interrupted_study_says_how_to_go_on_and_ends_with_130(adapert, begun, monkeypatch):
    operated(monkeypatch, begun)
    ended = adapert("resume", "compare_parts")
    assert (ended.status, ended.err) == (130, "")
    assert ended.out.splitlines() == [
        "compare_parts: 1 running, 1 finished of 4 trials in 1 s.",
        "It was interrupted.",
        "Continue with: adapert resume compare_parts --workspace runs",
        "Tracking: gone",
        "MLflow lacks 3 lines. Deliver with: adapert sync compare_parts --workspace runs",
    ]


@pytest.mark.parametrize(
    ("end", "status"), [(TrialStatus.FINISHED, 0), (TrialStatus.STOPPED, 0), (TrialStatus.FAILED, 1)]
)
def test_a_study_s_end_is_the_command_s(adapert, begun, monkeypatch, end, status):
    operated(monkeypatch, begun, Closing(end))
    ended = adapert("resume", "compare_parts")
    assert ended.status == status
    assert "Next: adapert figures compare_parts --workspace runs" in ended.out


def test_a_study_that_lost_ray_says_how_to_go_on_and_ends_with_75(adapert, begun, monkeypatch):
    operated(monkeypatch, begun, Closing(TrialStatus.FAILED, message="Ray's GCS is gone.", is_ray_lost=True))
    ended = adapert("resume", "compare_parts")
    assert (ended.status, ended.err) == (75, "")
    assert "Ray's GCS is gone." in ended.out
    assert "Continue with: adapert resume compare_parts --workspace runs" in ended.out
    assert "Next:" not in ended.out


def test_a_failed_trial_is_told_and_ends_the_command_with_1(adapert, begun, monkeypatch):
    begun.ended("002", TrialStatus.FAILED, EndReason.ERROR, "ValueError: [no]")
    operated(monkeypatch, begun, Closing(TrialStatus.FINISHED))
    ended = adapert("resume", "compare_parts")
    assert ended.status == 1
    assert "1 failed: ValueError: [no]" in ended.out


def test_status_lists_studies(adapert, begun):
    ended = adapert("status")
    assert (ended.status, ended.err) == (0, "")
    header, row = ended.out.splitlines()
    assert header.split()[:3] == ["study", "state", "trials"]
    assert row.split()[:3] == ["compare_parts", "killed", "1/4"]


def test_status_of_a_study_lists_its_trials(adapert, begun):
    ended = adapert("status", "compare_parts")
    assert ended.status == 0
    told, waiting, header, *rows = ended.out.splitlines()
    assert told.startswith("compare_parts: killed (last by pid unknown on unknown), 1 of 4 trials")
    assert waiting == "MLflow lacks 9 lines: adapert sync compare_parts"
    assert header.split()[:2] == ["trial", "variant"]
    assert [row.split()[3] for row in rows] == ["finished", "interrupted"]


def test_status_of_a_workspace_without_studies_says_so(adapert):
    ended = adapert("status")
    assert (ended.status, ended.out) == (0, "'runs' has no study yet.\n")


def test_sync_says_that_mlflow_has_all(adapert, begun, workspace):
    shutil.copy(workspace / DATABASE, begun.folder.parents[1])
    ended = adapert("sync", "compare_parts")
    assert (ended.status, ended.out, ended.err) == (0, "MLflow has all of 'compare_parts'.\n", "")


def test_sync_names_what_mlflow_refused(adapert, begun, monkeypatch):
    monkeypatch.setattr("adapert.workspace.resume.sync", lambda *_: (0, "Invalid metric name: 'a+b'"))
    ended = adapert("sync", "compare_parts")
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "MLflow has all of 'compare_parts' but what it refused.",
        "Refused: Invalid metric name: 'a+b'",
    ]


def test_sync_that_cannot_deliver_ends_with_1(adapert, begun, monkeypatch):
    monkeypatch.setattr("adapert.workspace.resume.sync", lambda *_: (7, "ConnectionError: refused"))
    ended = adapert("sync", "compare_parts")
    assert ended.status == 1
    assert ended.err == "Error: MLflow still lacks 7 lines of 'compare_parts': ConnectionError: refused\n"


def test_launch_hands_its_options_over(adapert, simulated, monkeypatch):
    given = []

    def launch(study, workspace, resources, limits, console, stores, recipe):
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
    assert adapert("launch", "search", *words).status == 2
    ((study, resources, limits, stores, recipe),) = given
    assert (study.plan.seeds_per_config, study.plan.cohort_size, study.plan.seed) == (3, COHORT_SIZE, 7)
    assert resources == Resources(device="cpu", address="auto", ships_data=True, max_failures=1)
    assert limits == Limits(trial_hours=2, target=0.5)
    assert stores == Stores(tracking_uri="http://server", optuna_storage="sqlite:///o.db")
    assert recipe == "search"


# names of studies

AS_A_PATH = {
    "status": ["status"],
    "resume": ["resume"],
    "extend": ["extend", "--trials", "1"],
    "stop": ["stop"],
    "sync": ["sync"],
}


@pytest.mark.parametrize("name", ["../../x", "..", ".hidden", "a/b", "a\\b", "a\nb", "", "a[/x]"])
@pytest.mark.parametrize("words", AS_A_PATH.values(), ids=AS_A_PATH)
def test_a_name_that_would_leave_the_workspace_is_refused(refused, words, name):
    command, *options = words
    assert "A study's name must be of letters" in refused(command, name, *options)


def test_a_ledger_outside_the_workspace_is_never_read(make_ledger: MakeLedger, refused, tmp_path):
    make_ledger(name="try").opened()
    assert (tmp_path / "runs" / "studies" / "try" / LEDGER_FILE).is_file()
    assert "A study's name must be" in refused("status", "../../runs/studies/try", "--workspace", "runs")


@pytest.mark.parametrize("words", AS_A_PATH.values(), ids=AS_A_PATH)
def test_a_name_of_300_letters_is_refused_wherever_it_is_looked_up(refused, words):
    command, *options = words
    assert "at most 150 bytes, but 'nnnnnnnnnnnnnnnnnnnn...' has 300" in refused(command, "n" * 300, *options)


def test_a_name_of_300_letters_is_refused_before_anything_is_written(launch):
    assert "at most 120 bytes" in launch("quickstart", "--name", "n" * 300)
