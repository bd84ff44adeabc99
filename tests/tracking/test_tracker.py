import math
import shutil
import threading

import pytest

from adapert.config import Config, read_config
from adapert.records import (
    CONFIG_FILE,
    OBJECTIVE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    Tag,
    TrialRecord,
    TrialStatus,
)
from adapert.tracking.store import DATABASE, open_store
from adapert.tracking.tracker import RUN_STATUS, Tracker

CONFIG = Config().with_changes({"model.tau": 0.123456789012345, "data.fingerprint": "0012"})


@pytest.fixture
def new_tracker(workspace, tmp_path):
    def build(study="try"):
        client, experiment = open_store(workspace)
        tags = {Tag.STUDY: study, Tag.DESIGN: "ablation", Tag.STATUS: TrialStatus.RUNNING}
        return Tracker(client, experiment, tags, tmp_path / "trials")

    return build


@pytest.fixture
def tracker(new_tracker):
    return new_tracker()


def start(tracker, trial_id="t0", variant="full", seed=0):
    record = TrialRecord(trial_id, variant, seed, {})
    tracker.trial_started(record, CONFIG)
    return record


def report(tracker, record, **metrics):
    record.n_epochs += 1
    record.metrics = {"epoch": float(record.n_epochs), **metrics}
    tracker.trial_reported(record)


def end(tracker, record, status=TrialStatus.FINISHED, message=""):
    record.status, record.message = status, message
    tracker.trial_ended(record)


def leave_results(tracker, record):
    folder = tracker.trial_folder / record.trial_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PER_PERTURBATION_FILE).write_text("table")
    (folder / WEIGHTS_FILE).write_text("weights")
    return folder


def run_of(tracker, record):
    return tracker.client.get_run(tracker.run_ids[record.trial_id])


def all_runs(tracker):
    return tracker.client.search_runs([tracker.experiment_id])


def test_trials_are_children_of_their_study(tracker):
    record = start(tracker, "t0", "no_context", 1)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    child, parent = run_of(tracker, record), tracker.client.get_run(tracker.parent_id)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {name: child.data.tags[name] for name in (Tag.KIND, Tag.STUDY, Tag.TRIAL)} == {
        Tag.KIND: "trial",
        Tag.STUDY: "try",
        Tag.TRIAL: "t0",
    }
    assert (child.data.tags[Tag.VARIANT], child.data.tags[Tag.SEED]) == ("no_context", "1")
    assert child.data.tags[Tag.CONFIG_DIGEST] == CONFIG.digest()
    assert child.data.tags[Tag.DATA_FINGERPRINT] == "0012"
    assert (parent.data.tags[Tag.KIND], parent.data.tags[Tag.DESIGN]) == ("study", "ablation")


def test_every_run_says_what_code_it_comes_from(tracker):
    record = start(tracker)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    for run in all_runs(tracker):
        assert run.data.tags[Tag.GIT_COMMIT]
        assert "torch 2." in run.data.tags[Tag.VERSIONS]


def test_params_are_the_whole_config_flat(tracker):
    record = start(tracker)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    params = run_of(tracker, record).data.params
    assert params == {name: str(value) for name, value in CONFIG.flat().items()}
    assert params["model.tau"] == "0.123456789012345"


def test_metrics_are_kept_epoch_by_epoch(tracker):
    record = start(tracker)
    for value in (0.1, 0.3, 0.2):
        report(tracker, record, pearson_delta=value, best_pearson_delta=max(0.1, value))
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    history = tracker.client.get_metric_history(tracker.run_ids["t0"], "pearson_delta")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.1), (2, 0.3), (3, 0.2)]


def test_an_undefined_metric_stays_undefined(tracker):
    record = start(tracker)
    report(tracker, record, pds=math.nan)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    assert tracker.failures == []
    assert math.isnan(run_of(tracker, record).data.metrics["pds"])


def test_config_table_and_weights_become_artifacts_and_leave_the_folder(tracker):
    record = start(tracker)
    folder = leave_results(tracker, record)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    run_id = tracker.run_ids["t0"]
    files = {file.path for file in tracker.client.list_artifacts(run_id)}
    assert files == {CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE}
    assert not folder.exists()


def test_the_config_artifact_reads_as_the_trial_s_config(tracker, tmp_path):
    record = start(tracker)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    path = tracker.client.download_artifacts(tracker.run_ids["t0"], CONFIG_FILE, str(tmp_path))
    assert read_config(tmp_path / CONFIG_FILE) == CONFIG
    assert str(tmp_path) in path


@pytest.mark.parametrize("status", RUN_STATUS)
def test_an_end_is_mlflow_s_status_and_the_study_s_own_tag(tracker, status):
    record = start(tracker)
    end(tracker, record, status)
    tracker.close(TrialStatus.FINISHED, {})
    run = run_of(tracker, record)
    assert (run.info.status, run.data.tags[Tag.STATUS]) == (RUN_STATUS[status], status)


@pytest.mark.parametrize("status", RUN_STATUS)
def test_the_parent_ends_as_the_study_did(tracker, status):
    tracker.close(status, {})
    parent = tracker.client.get_run(tracker.parent_id)
    assert (parent.info.status, parent.data.tags[Tag.STATUS]) == (RUN_STATUS[status], status)


def test_a_failed_trial_says_why(tracker):
    record = start(tracker)
    end(tracker, record, TrialStatus.FAILED, "DivergedError: The loss must stay finite.")
    tracker.close(TrialStatus.FINISHED, {})
    assert run_of(tracker, record).data.tags[Tag.MESSAGE] == "DivergedError: The loss must stay finite."


def test_the_parent_has_the_best_finished_trial_and_the_summary(tracker):
    for trial_id, value, status in [
        ("no_objective", math.nan, TrialStatus.FINISHED),
        ("t0", 0.5, TrialStatus.FINISHED),
        ("t1", 0.7, TrialStatus.FINISHED),
        ("t2", 0.9, TrialStatus.STOPPED),
    ]:
        record = start(tracker, trial_id)
        report(tracker, record, **{OBJECTIVE: value, "pds": 0.1})
        end(tracker, record, status)
    tracker.close(TrialStatus.FINISHED, {"n_finished": 2.0})
    parent = tracker.client.get_run(tracker.parent_id)
    assert parent.data.metrics == {OBJECTIVE: 0.7, "n_finished": 2.0}
    assert parent.data.tags["best_trial"] == "t1"


def test_nothing_is_left_running_after_close(tracker):
    start(tracker, "t0")
    report(tracker, start(tracker, "t1"), pds=0.5)
    tracker.close(TrialStatus.FAILED, {})
    ends = {run.data.tags.get(Tag.TRIAL, "study"): run.info.status for run in all_runs(tracker)}
    assert ends == {"t0": "KILLED", "t1": "KILLED", "study": "FAILED"}


def test_artifacts_that_cannot_be_kept_are_listed_and_the_run_ends(tracker, workspace):
    record = start(tracker)
    (workspace / "artifacts").write_text("a file where a directory should be")
    folder = leave_results(tracker, record)
    end(tracker, record)
    tracker.close(TrialStatus.FINISHED, {})
    assert run_of(tracker, record).info.status == "FINISHED"
    assert any("artifacts" in failure for failure in tracker.failures)
    assert (folder / WEIGHTS_FILE).is_file()


def test_a_store_that_breaks_in_the_middle_never_raises(tracker, workspace):
    first = start(tracker)
    report(tracker, first, pds=0.5)
    wait_until_written(tracker)
    spoil(workspace / DATABASE)
    report(tracker, first, pds=0.6)
    end(tracker, first)
    end(tracker, start(tracker, "t1"))
    tracker.close(TrialStatus.FINISHED, {"n_finished": 2.0})
    assert tracker.failures


def test_a_store_that_recovers_has_every_end(tracker, workspace, tmp_path):
    first = start(tracker)
    wait_until_written(tracker)
    shutil.copy(workspace / DATABASE, tmp_path / "kept.db")
    spoil(workspace / DATABASE)
    end(tracker, first, TrialStatus.FAILED, "Why.")
    wait_until_written(tracker)
    shutil.copyfile(tmp_path / "kept.db", workspace / DATABASE)
    tracker.close(TrialStatus.FINISHED, {})
    run = run_of(tracker, first)
    assert (run.info.status, run.data.tags[Tag.MESSAGE]) == ("FAILED", "Why.")


def spoil(database):
    """Overwrite in place: connections that are open meet it too."""
    with database.open("r+b") as file:
        file.write(b"no database " * 1000)


def wait_until_written(tracker):
    """Queue a job behind all others, and wait for it."""
    done = threading.Event()
    tracker._jobs.put(done.set)
    assert done.wait(60)


def test_two_launches_share_the_experiment(new_tracker):
    first, second = new_tracker("one"), new_tracker("two")
    for tracker in (first, second):
        tracker.close(TrialStatus.FINISHED, {})
    assert first.experiment_id == second.experiment_id
    assert sorted(run.data.tags[Tag.STUDY] for run in all_runs(first)) == ["one", "two"]
