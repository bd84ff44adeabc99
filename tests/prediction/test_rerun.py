import errno
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd
import pytest
from fixtures.edited import Copy
from fixtures.trained import Trained

from adapert.data.manifest import MANIFEST_FILE
from adapert.errors import InputError
from adapert.prediction.rerun import (
    RerunError,
    RerunResult,
    _OneTrial,
    compare_metrics,
    compare_origins,
    describe_result,
    rerun_trial,
)
from adapert.records import ERROR_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE, Tag, TrialStatus
from adapert.study.engine.events import EpochReported
from adapert.study.execution.resources import Resources
from adapert.tracking.read import tag_of, trial_runs
from adapert.tracking.reruns import COMPARISON_FILE, KIND, Rerun
from adapert.tracking.store import open_store

if TYPE_CHECKING:
    from mlflow.entities import Run


TRAINER = "adapert.study.execution.trainer"


def run_of(trained: Trained, run_id: str) -> "Run":
    return open_store(trained.workspace)[0].get_run(run_id)


def files_of(trained: Trained, run: "Run") -> set[str]:
    return {file.path for file in open_store(trained.workspace)[0].list_artifacts(run.info.run_id)}


def last_rerun(trained: Trained) -> "Run":
    client, experiment = open_store(trained.workspace)
    return client.search_runs([experiment], f"tags.`{Tag.KIND}` = '{KIND}'", max_results=1)[0]


def fail(*args: object, **kwargs: Any) -> NoReturn:
    raise ValueError("no")


def fill_the_disk(*args: pd.DataFrame | Path, **kwargs: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def again(trained: Trained) -> RerunResult:
    """A finished trial, run again."""
    return rerun_trial(trained.workspace, "forms/001")


def test_a_trial_that_is_run_again_has_exactly_the_same_metrics(again: RerunResult) -> None:
    assert again.is_same
    assert set(again.metrics["metric"]) >= {"epoch", "loss_total", "best_pearson_delta", "best_retrieval"}
    assert (again.metrics["tracked"] == again.metrics["again"]).all()
    assert "metrics are exactly those of forms/001." in describe_result(again)


def test_the_perturbations_of_a_rerun_have_the_same_values_too(trained: Trained, again: RerunResult) -> None:
    client, _ = open_store(trained.workspace)
    first, second = (
        pd.read_parquet(client.download_artifacts(run, PER_PERTURBATION_FILE)).drop(columns=["run", "study"])
        for run in (trained.study.trial("001").run_id, again.rerun)
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_a_rerun_is_tracked_below_its_study_and_is_no_part_of_it(
    trained: Trained, again: RerunResult
) -> None:
    run = run_of(trained, again.rerun)
    assert run.info.status == "FINISHED"
    assert (tag_of(run, Tag.KIND), tag_of(run, Tag.ORIGINAL)) == (KIND, "forms/001")
    original = run_of(trained, trained.study.trial("001").run_id)
    assert run.data.tags["mlflow.parentRunId"] == original.data.tags["mlflow.parentRunId"]
    assert {name: run.data.metrics[name] for name in again.metrics["metric"]} == dict(
        zip(again.metrics["metric"], again.metrics["again"], strict=True)
    )
    assert files_of(trained, run) == {PER_PERTURBATION_FILE, WEIGHTS_FILE, COMPARISON_FILE}
    assert again.rerun not in {run.info.run_id for run in trial_runs(trained.uri, "forms")}
    assert len(trained.tracked.trials) == 6


def test_a_rerun_is_not_run_again_itself(trained: Trained, again: RerunResult) -> None:
    with pytest.raises(InputError, match="repeats forms/001: give that one"):
        rerun_trial(trained.workspace, again.rerun)


@pytest.mark.parametrize(("trial", "epoch"), [("003", 2), ("005", 1)])
def test_a_trial_is_run_again_for_as_many_epochs_as_it_had(trained: Trained, trial: str, epoch: int) -> None:
    result = rerun_trial(trained.workspace, f"forms/{trial}")
    assert result.is_same
    by_metric = result.metrics.set_index("metric")["again"]
    assert by_metric["epoch"] == epoch
    assert ("best_retrieval" in by_metric) == (trial == "005")


def test_a_run_id_names_a_trial(trained: Trained) -> None:
    run_id = trained.study.trial("005").run_id
    assert rerun_trial(trained.workspace, run_id).name == "forms/005"


def test_a_trial_that_has_failed_again_is_tracked_with_its_sentence_and_traceback(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{TRAINER}.evaluate_model", fail)
    with pytest.raises(RerunError, match=r"forms/005 failed when it was run again: ValueError: no") as caught:
        rerun_trial(trained.workspace, "forms/005")
    assert caught.value.closing.status == TrialStatus.FAILED
    run = last_rerun(trained)
    assert (run.info.status, run.data.tags[Tag.MESSAGE]) == ("FAILED", str(caught.value))
    assert ERROR_FILE in files_of(trained, run)


def test_a_rerun_that_is_interrupted_ends_as_killed_with_what_it_has_reported(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = _OneTrial.reported

    def interrupt_after_it(runner: _OneTrial, trial_id: str, report: Mapping[str, Any]) -> bool:
        goes_on = take_in(runner, trial_id, report)
        runner.interrupt()
        return goes_on

    monkeypatch.setattr(_OneTrial, "reported", interrupt_after_it)
    with pytest.raises(KeyboardInterrupt, match="rerun of forms/001 was interrupted"):
        rerun_trial(trained.workspace, "forms/001")
    run = last_rerun(trained)
    assert (run.info.status, run.data.metrics["epoch"]) == ("KILLED", 1)


def test_a_rerun_without_space_names_the_directory_that_lacks_it(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(f"{TRAINER}.write_long_table", fill_the_disk)
    with pytest.raises(InputError, match=rf"but '{tmp_path}' takes no more.*set TMPDIR"):
        rerun_trial(trained.workspace, "forms/005")
    assert list(tmp_path.iterdir()) == []


def test_a_rerun_needs_no_more_threads_than_the_machine_has_cores(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.prediction.rerun.count_cpus", lambda: 1)
    study = replace(trained.study.trial("005"), n_threads=64, n_slots=8)
    monkeypatch.setattr("adapert.prediction.rerun.find_trial", lambda *_: (trained.study, study))
    result = rerun_trial(trained.workspace, "forms/005")
    changes = {"the number of threads was 64 and is 1", "the number of slots was 8 and is 1"}
    assert changes <= set(result.changes)


def test_reports_that_mlflow_did_not_take_are_delivered_with_later_ones(
    trained: Trained, again: RerunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = open_store(trained.workspace)
    deliver, failures = client.log_batch, iter([OSError("down"), OSError("down")])

    def log_batch(*args: str, **kwargs: Any) -> None:
        if error := next(failures, None):
            raise error
        deliver(*args, **kwargs)

    monkeypatch.setattr(client, "log_batch", log_batch)
    run = client.create_run("0")
    rerun = Rerun(client, run.info.run_id)
    for epoch in (1, 2, 3):
        metrics = {"loss_total": 0.5}
        event = EpochReported(trial="001", epoch=epoch, host="h", is_over=False, metrics=metrics)
        rerun.on_event(event, trained.study.state)
    history = client.get_metric_history(run.info.run_id, "loss_total")
    assert sorted(metric.step for metric in history) == [1, 2, 3]


def test_a_trial_without_an_epoch_is_refused(trained: Trained) -> None:
    with pytest.raises(InputError, match="'forms/006' reported no epoch"):
        rerun_trial(trained.workspace, "forms/006")


def test_other_data_are_refused(trained: Trained, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained.prepared, other)
    manifest = other / MANIFEST_FILE
    fingerprint = trained.study.fingerprint
    manifest.write_text(manifest.read_text().replace(fingerprint, "0123"))
    with pytest.raises(InputError, match=r"of fingerprint .* but '.*other' has 0123.*--data DIR"):
        rerun_trial(trained.workspace, "forms/001", data=other)


def test_data_may_lie_elsewhere(trained: Trained, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(trained.prepared, moved)
    result = rerun_trial(trained.workspace, "forms/005", data=moved)
    assert result.is_same
    assert run_of(trained, result.rerun).data.params["data.path"] == str(moved)


def test_what_differs_from_then_is_named(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    original = trained.study.trial("001")
    monkeypatch.setattr("adapert.prediction.rerun.git_commit", lambda: "def")
    monkeypatch.setattr("adapert.prediction.rerun.package_versions", lambda: "torch 3.0")
    monkeypatch.setattr("adapert.prediction.rerun.socket.gethostname", lambda: "elsewhere")
    changes = compare_origins(trained.study, original, Resources(device="cuda", cpus_per_trial=2))
    assert changes[:3] == [
        "the commit was abc and is def",
        "the device was cpu and is cuda",
        "the number of threads was 1 and is 2",
    ]
    assert changes[3].endswith(" and is elsewhere")
    assert changes[4:] == ["torch was 2.0 and is 3.0"]


def test_nothing_is_named_where_nothing_differs(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapert.prediction.rerun.git_commit", lambda: "abc")
    monkeypatch.setattr("adapert.prediction.rerun.package_versions", lambda: "torch 2.0")
    assert compare_origins(trained.study, trained.study.trial("001"), Resources()) == []


@pytest.mark.slow
def test_an_edited_module_of_the_package_is_named(trained: Trained, package_copy: Copy) -> None:
    package_copy.edit("data/regroup.py")
    ended = package_copy.run("rerun", "forms/005", "--workspace", str(trained.workspace))
    assert ended.returncode == 0, ended.stderr
    assert "the code of 'adapert.data.regroup' has changed" in " ".join(ended.stdout.split())


def test_metrics_differ_where_one_side_has_none_or_another_value() -> None:
    nan = math.nan
    frame = compare_metrics({"epoch": 3, "pds": nan, "mse": 0.5}, {"epoch": 3, "pds": nan, "loss_total": 1.0})
    frame = frame.set_index("metric")
    assert list(frame.index) == ["epoch", "loss_total", "pds", "mse"]
    assert frame["difference"].eq(0).to_dict() == {
        "epoch": True,
        "loss_total": False,
        "pds": True,
        "mse": False,
    }
    assert compare_metrics({"mse": 0.5}, {"mse": 0.75})["difference"].tolist() == [0.25]
