import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from fixtures.ledger import BEGIN, HandMade, MakeLedger
from fixtures.servers import MlflowServer

from adapert.config import Config, read_config
from adapert.files import write_whole
from adapert.records import (
    CODE_DIFF_FILE,
    CONFIG_FILE,
    ERROR_FILE,
    OBJECTIVE,
    ORIGIN_FILE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    EndReason,
    Tag,
    TrialStatus,
)
from adapert.study.engine.events import RunTracked
from adapert.study.engine.ledger import Ledger
from adapert.study.engine.state import StudyState
from adapert.tracking.runs import BEST_CONFIG_FILE, Connect
from adapert.tracking.store import ARTIFACTS, DATABASE, name_store, open_store
from adapert.tracking.tracker import DELIVERED_FILE, Tracker, count_waiting, read_delivered

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run
    from mlflow.tracking import MlflowClient


BASE = Config().with_changes({"data.fingerprint": "0012"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapert.tracking.tracker.RETRY_SECONDS", (0.001, 0.01))
    monkeypatch.setattr("adapert.tracking.tracker.PAUSE_SECONDS", 0.0)


@pytest.fixture
def made(make_ledger: MakeLedger, workspace: Path) -> HandMade:
    return make_ledger(base=BASE, workspace=workspace)


def ways_to_end(made: HandMade) -> HandMade:
    """A trial of each end, interrupted once, in two processes."""
    made.opened()
    for trial, variant, changes in [
        ("001", "full", {}),
        ("002", "sharp", {"model.tau": 0.5}),
        ("003", "full", {}),
        ("004", "sharp", {"model.tau": 0.5}),
    ]:
        made.asked(trial, variant, int(trial) // 3, changes)
    leave_results(made, "001")
    for epoch, value in enumerate([0.1, 0.3, 0.3], start=1):
        made.reported("001", epoch, value, loss_total=1 / epoch)
    made.reported("002", 1, 0.7)
    made.ended("001")
    made.ended("002", TrialStatus.STOPPED, EndReason.RUNG, "It was below 0.9 at epoch 1.")
    made.closed(TrialStatus.INTERRUPTED, "It was interrupted.")
    made.opened()
    made.reported("003", 1, None)
    (made.folder / "trials" / "003").mkdir(parents=True, exist_ok=True)
    (made.folder / "trials" / "003" / ERROR_FILE).write_text("Traceback")
    made.ended("003", TrialStatus.FAILED, EndReason.ERROR, "ValueError: no")
    made.reported("004", 1, 0.2)
    made.ended("004")
    made.closed()
    return made


def one_trial(made: HandMade) -> HandMade:
    """A trial that ended in a second process."""
    leave_results(made, "001")
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.1)
    made.closed(TrialStatus.INTERRUPTED)
    made.opened()
    made.reported("001", 2, 0.2)
    made.ended("001")
    made.closed()
    return made


def leave_results(made: HandMade, trial: str) -> None:
    folder = made.folder / "trials" / trial
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PER_PERTURBATION_FILE).write_text("table")
    (folder / WEIGHTS_FILE).write_text("weights")


@contextmanager
def tracking(made: HandMade, connect: Connect) -> Iterator[Tracker]:
    """A tracker over a ledger, as a process that takes the study up makes it; to be closed."""
    ledger = Ledger(made.path)
    yield Tracker(made.study, ledger, made.events, connect)
    ledger.close()


def deliver(made: HandMade, workspace: Path, connect: Connect | None = None) -> Tracker:
    with tracking(made, connect or partial(open_store, workspace)) as tracker:
        assert tracker.close() == 0, tracker.trouble
    return tracker


def runs_of(workspace: Path) -> "dict[str, Run]":
    """Runs of a store by trial id; the study's own is ``""``."""
    client, experiment = open_store(workspace)
    runs = client.search_runs([experiment])
    by_trial = {run.data.tags.get(Tag.TRIAL, ""): run for run in runs}
    assert len(by_trial) == len(runs), "a second run of a trial"
    return by_trial


def everything_in(workspace: Path) -> dict[str, dict[str, Any]]:
    client, _ = open_store(workspace)
    return {
        trial: {
            "run": run.info.run_id,
            "status": run.info.status,
            "times": (run.info.start_time, run.info.end_time),
            "tags": run.data.tags,
            "params": run.data.params,
            "history": {
                name: [
                    (m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, name)
                ]
                for name in run.data.metrics
                if not math.isnan(run.data.metrics[name])
            },
            "metrics": sorted(run.data.metrics),
            "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        }
        for trial, run in runs_of(workspace).items()
    }


def without_ids(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What does not differ between two stores of the same study."""
    kept = {}
    for trial, run in found.items():
        tags = {name: value for name, value in run["tags"].items() if name != "mlflow.parentRunId"}
        kept[trial] = run | {"run": "", "tags": tags}
    return kept


# what a study's lines become


def test_trials_are_children_of_their_study_with_tags_that_find_them(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    runs = runs_of(workspace)
    parent, child = runs[""], runs["002"]
    assert sorted(runs) == ["", "001", "002", "003", "004"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    expected = {
        Tag.KIND: "trial",
        Tag.STUDY: "try",
        Tag.TRIAL: "002",
        Tag.VARIANT: "sharp",
        Tag.SEED: "0",
        Tag.CONFIG_DIGEST: BASE.with_changes({"model.tau": 0.5}).digest(),
        Tag.DATA_FINGERPRINT: "0012",
        Tag.GIT_COMMIT: "abc",
        Tag.VERSIONS: "torch 2.0",
    }
    assert {name: child.data.tags[name] for name in expected} == expected
    assert (parent.data.tags[Tag.KIND], parent.data.tags[Tag.DESIGN]) == ("study", "ablation")
    assert child.info.run_name == "sharp seed 0"


def test_params_are_what_the_model_reads(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    params = runs_of(workspace)["002"].data.params
    assert params == {
        name: str(value) for name, value in BASE.with_changes({"model.tau": 0.5}).settings().items()
    }


def test_metrics_have_the_step_and_the_time_of_their_line(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    at = [made.reported("001", epoch, 0.1 * epoch).time for epoch in (1, 2, 3)]
    deliver(made, workspace)
    history = everything_in(workspace)["001"]["history"][OBJECTIVE]
    assert [(step, time) for step, time, _ in history] == [
        (epoch + 1, round(second * 1000)) for epoch, second in enumerate(at)
    ]
    assert [value for *_, value in history] == pytest.approx([0.1, 0.2, 0.3])


def test_an_undefined_metric_stays_undefined(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.5, pds=None)
    assert deliver(made, workspace).refused == []
    assert math.isnan(runs_of(workspace)["001"].data.metrics["pds"])


def test_results_become_artifacts_and_stay_in_the_workspace(
    made: HandMade, workspace: Path, tmp_path: Path
) -> None:
    deliver(ways_to_end(made), workspace)
    found = everything_in(workspace)
    assert found["001"]["files"] == sorted([CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE])
    assert found["003"]["files"] == sorted([CONFIG_FILE, ERROR_FILE])
    assert found[""]["files"] == [BEST_CONFIG_FILE, ORIGIN_FILE]
    kept = {path.name for path in (made.folder / "trials" / "001").iterdir()}
    assert kept == {CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE}
    client, _ = open_store(workspace)
    path = client.download_artifacts(found["002"]["run"], CONFIG_FILE, str(tmp_path))
    assert read_config(tmp_path / CONFIG_FILE) == BASE.with_changes({"model.tau": 0.5}), path


def test_a_study_keeps_its_code_s_diff_and_fingerprints(
    made: HandMade, workspace: Path, tmp_path: Path
) -> None:
    (made.folder / CODE_DIFF_FILE).write_text("+# changed ü\n")
    made.opened()
    deliver(made, workspace)
    client, _ = open_store(workspace)
    run = runs_of(workspace)[""].info.run_id
    read = {
        name: Path(client.download_artifacts(run, name)).read_text() for name in (CODE_DIFF_FILE, ORIGIN_FILE)
    }
    assert read[CODE_DIFF_FILE] == "+# changed ü\n"
    assert json.loads(read[ORIGIN_FILE]) == made.state.definition.origin


def test_a_trial_says_on_what_it_ran(made: HandMade, workspace: Path) -> None:
    made.opened(resources={"cpus_per_trial": 2, "device": "cuda"})
    made.asked("001")
    made.reported("001", 1, 0.1)
    made.ended("001")
    deliver(made, workspace)
    tags = runs_of(workspace)["001"].data.tags
    assert [tags[tag] for tag in (Tag.DEVICE, Tag.N_THREADS, Tag.HOST)] == ["cuda", "2", "node"]


def test_the_folder_of_a_trial_that_goes_on_stays(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    checkpoint = made.folder / "trials" / "001" / "checkpoint_000010"
    checkpoint.mkdir(parents=True)
    made.closed(TrialStatus.INTERRUPTED)
    deliver(made, workspace)
    assert checkpoint.is_dir()


def test_an_end_is_mlflow_s_status_and_the_study_s_own_tags(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    ends = {
        trial: (run.info.status, *(run.data.tags.get(tag) for tag in (Tag.STATUS, Tag.REASON, Tag.MESSAGE)))
        for trial, run in runs_of(workspace).items()
    }
    assert ends == {
        "": ("FINISHED", "finished", None, ""),
        "001": ("FINISHED", "finished", "epochs", ""),
        "002": ("FINISHED", "stopped", "rung", "It was below 0.9 at epoch 1."),
        "003": ("FAILED", "failed", "error", "ValueError: no"),
        "004": ("FINISHED", "finished", "epochs", ""),
    }


def test_runs_begin_and_end_when_their_lines_say(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    end = made.ended("001").time
    deliver(made, workspace)
    run = runs_of(workspace)["001"]
    assert (run.info.start_time, run.info.end_time) == ((BEGIN + 2) * 1000, end * 1000)


def test_trials_of_an_interrupted_study_are_interrupted_and_run_again_when_it_is_resumed(
    made: HandMade, workspace: Path
) -> None:
    def ends() -> dict[str, tuple[str, str]]:
        runs = runs_of(workspace)
        return {trial: (run.info.status, run.data.tags[Tag.STATUS]) for trial, run in runs.items()}

    made.opened()
    made.asked("001")
    made.closed(TrialStatus.INTERRUPTED, "It was interrupted.")
    deliver(made, workspace)
    assert ends() == {"": ("KILLED", "interrupted"), "001": ("KILLED", "interrupted")}
    made.opened()
    deliver(made, workspace)
    assert ends() == {"": ("RUNNING", "running"), "001": ("RUNNING", "running")}
    made.ended("001")
    made.closed()
    deliver(made, workspace)
    assert ends() == {"": ("FINISHED", "finished"), "001": ("FINISHED", "finished")}
    assert runs_of(workspace)[""].data.tags[Tag.MESSAGE] == ""


def test_a_study_that_was_interrupted_before_its_first_trial_runs_again_too(
    made: HandMade, workspace: Path
) -> None:
    made.opened()
    made.closed(TrialStatus.INTERRUPTED)
    made.opened()
    deliver(made, workspace)
    assert runs_of(workspace)[""].info.status == "RUNNING"


def test_the_study_s_own_run_sums_up(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    parent = runs_of(workspace)[""]
    assert parent.data.tags["best_trial"] == "001"
    assert parent.data.metrics[OBJECTIVE] == 0.3
    assert (parent.data.metrics["n_finished"], parent.data.metrics["n_failed"]) == (2, 1)
    assert parent.data.tags["mlflow.note.content"].startswith("Which one?\n")


def test_a_message_longer_than_mlflow_takes_is_cut(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "x" * 20_000)
    made.closed(TrialStatus.FAILED)
    assert deliver(made, workspace).refused == []
    assert runs_of(workspace)["001"].data.tags[Tag.MESSAGE].startswith("xxx")


# in order and once


def live(made: HandMade, tracker: Tracker, n_seen: int) -> None:
    """Tell a tracker the lines after the first `n_seen`, as a runner does."""
    state = StudyState()
    for number, event in enumerate(e for e in made.events if not isinstance(e, RunTracked)):
        state.see(event)
        if number >= n_seen:
            tracker.on_event(event, state)


def test_a_study_is_tracked_alike_while_it_runs_and_afterwards(
    made: HandMade, workspace: Path, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / DATABASE).write_bytes((workspace / DATABASE).read_bytes())
    afterwards = ways_to_end(make_ledger(base=BASE, workspace=other))
    deliver(afterwards, other)
    with tracking(made, partial(open_store, workspace)) as tracker:
        ways_to_end(made)
        live(made, tracker, n_seen=1)
        assert tracker.close() == 0
    assert count_waiting(made.folder, made.events) == 0
    assert without_ids(everything_in(workspace)) == without_ids(everything_in(other))


def test_a_backlog_is_counted_run_by_run(
    made: HandMade, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def write(path: Path, text: str) -> None:
        counted.append(json.loads(text)["lines"])
        write_whole(path, text)

    monkeypatch.setattr("adapert.tracking.tracker.write_whole", write)
    deliver(ways_to_end(made), workspace)
    assert counted == sorted(set(counted))
    assert len(counted) == 5  # four trials and the study
    assert counted[-1] == len([event for event in made.events if event.event != "tracked"])


class Killed(BaseException):
    """Ends the writing thread where it is, as a SIGKILL does."""


class Breaking:
    """A client whose writes do what `after` says once they have been done."""

    def __init__(
        self,
        client: "MlflowClient",
        after: Callable[..., object],
        before: Callable[..., object] = lambda: None,
    ) -> None:
        self._client, self._after, self._before = client, after, before

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._client, name)
        if name in ("search_runs", "get_run"):
            return method

        def call(*args: object, **options: Any) -> "Run | None":
            self._before()
            result = method(*args, **options)
            self._after()
            return result

        return call


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_after_any_call_a_tracker_goes_on_without_a_second_run_or_point(
    made: HandMade, workspace: Path
) -> None:
    # One process after the other, each of which is killed by its first write.
    one_trial(made)
    store, n_kills = open_store(workspace), 0

    def kill() -> NoReturn:
        raise Killed

    while True:
        client = Breaking(store[0], kill)
        with tracking(made, partial(lambda client: (client, store[1]), client)) as tracker:
            if tracker.close() == 0:
                break
        n_kills += 1
    assert n_kills > 12
    found = everything_in(workspace)
    assert {trial: run["status"] for trial, run in found.items()} == {"": "FINISHED", "001": "FINISHED"}
    assert [(step, value) for step, _, value in found["001"]["history"][OBJECTIVE]] == [(1, 0.1), (2, 0.2)]
    assert found["001"]["files"] == sorted([CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE])


def test_any_number_of_lines_delivered_again_changes_nothing(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    expected = everything_in(workspace)
    whole = made.path.read_text().splitlines()
    said = [json.loads(line) for line in whole]
    lines = [event for event in said if event["event"] != "tracked"]
    for n_delivered in range(len(lines)):
        known = {event.get("trial", "") for event in lines[:n_delivered]}
        # A run whose creation was not counted may not have been recorded either.
        kept = [e for e in said if e["event"] != "tracked" or (n_delivered and e["trial"] in known)]
        made.path.write_text("".join(f"{json.dumps(event)}\n" for event in kept))
        (made.folder / DELIVERED_FILE).write_text(json.dumps({"lines": n_delivered}))
        deliver(made, workspace)
        assert everything_in(workspace) == expected, n_delivered


def test_a_study_of_the_same_name_in_another_workspace_keeps_its_runs(
    made: HandMade, workspace: Path, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    deliver(ways_to_end(made), workspace)
    second = make_ledger(base=BASE, workspace=tmp_path / "other", begin=BEGIN + 1000)
    second.opened()
    second.asked("001")
    deliver(second, workspace)
    client, experiment = open_store(workspace)
    assert len(client.search_runs([experiment])) == 5 + 2


# stores that do not answer, or refuse


def test_a_store_that_cannot_be_opened_for_a_while_delays(made: HandMade, workspace: Path) -> None:
    ways_to_end(made)
    n_tries = 0

    def connect() -> "tuple[MlflowClient, str]":
        nonlocal n_tries
        n_tries += 1
        if n_tries < 4:
            raise ConnectionError("refused")
        return open_store(workspace)

    tracker = deliver(made, workspace, connect)
    assert (n_tries, tracker.trouble, tracker.refused) == (4, "", [])
    assert len(runs_of(workspace)) == 5


def test_a_store_that_fails_now_and_then_loses_and_doubles_nothing(
    made: HandMade, workspace: Path, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / DATABASE).write_bytes((workspace / DATABASE).read_bytes())
    smooth = one_trial(make_ledger(base=BASE, workspace=other))
    deliver(smooth, other)
    # Of four calls one fails before it is done, and one after.
    n_calls, n_failed = 0, 0

    def fail(when: int) -> None:
        nonlocal n_calls, n_failed
        n_calls += when == 0
        if n_calls % 4 == when:
            n_failed += 1
            raise ConnectionError("gone")

    client, experiment = open_store(workspace)
    breaking = Breaking(client, lambda: fail(1), lambda: fail(0))
    tracker = deliver(one_trial(made), workspace, lambda: (breaking, experiment))
    assert tracker.refused == []
    assert n_failed > 8
    assert without_ids(everything_in(workspace)) == without_ids(everything_in(other))


def test_a_metric_that_mlflow_refuses_is_noted_and_keeps_nothing_else_back(
    made: HandMade, workspace: Path
) -> None:
    made.opened()
    made.asked("001")
    made.asked("002")
    made.reported("001", 1, 0.5, **{"a+b": 1.0})
    made.reported("002", 1, 0.6)
    made.reported("001", 2, 0.7)
    made.ended("001")
    made.closed()
    tracker = deliver(made, workspace)
    (refusal,) = tracker.refused
    assert "a+b" in refusal
    found = everything_in(workspace)
    assert [value for *_, value in found["001"]["history"][OBJECTIVE]] == [0.5, 0.7]
    assert [value for *_, value in found["002"]["history"][OBJECTIVE]] == [0.6]
    assert found["001"]["status"] == "FINISHED"


def test_a_run_that_somebody_deleted_meanwhile_is_taken_back_with_all_it_lacks(
    made: HandMade, workspace: Path
) -> None:
    with tracking(made, partial(open_store, workspace)) as tracker:
        made.opened()
        made.asked("001")
        live(made, tracker, n_seen=1)
        while not runs_of(workspace).get("001"):
            pass
        n_seen = len(made.events) - len(made.state.run_ids)
        client, _ = open_store(workspace)
        client.delete_run(runs_of(workspace)["001"].info.run_id)
        made.reported("001", 1, 0.5)
        made.ended("001")
        made.closed()
        live(made, tracker, n_seen=n_seen)
        assert tracker.close() == 0
    found = everything_in(workspace)["001"]
    assert (found["status"], tracker.refused) == ("FINISHED", [])
    assert [value for *_, value in found["history"][OBJECTIVE]] == [0.5]


# stores that lost something


def lose_one_run(client: "MlflowClient", workspace: Path) -> None:
    client.delete_run(runs_of(workspace)["001"].info.run_id)


def lose_all_runs(client: "MlflowClient", workspace: Path) -> None:
    for run in runs_of(workspace).values():
        client.delete_run(run.info.run_id)


def lose_runs_for_good(client: "MlflowClient", workspace: Path) -> None:
    with sqlite3.connect(workspace / DATABASE) as database:
        tables = ["latest_metrics", "metrics", "params", "tags", "inputs", "runs"]
        for table in tables:
            database.execute(f"DELETE FROM {table}")


def lose_the_database(client: "MlflowClient", workspace: Path) -> None:
    (workspace / DATABASE).unlink()


def lose_the_artifacts(client: "MlflowClient", workspace: Path) -> None:
    shutil.rmtree(workspace / ARTIFACTS)


def lose_a_tag(client: "MlflowClient", workspace: Path) -> None:
    client.set_tag(runs_of(workspace)["001"].info.run_id, Tag.STATUS, "running")


def lose_an_end(client: "MlflowClient", workspace: Path) -> None:
    client.update_run(runs_of(workspace)[""].info.run_id, status="RUNNING")


def lose_metrics(client: "MlflowClient", workspace: Path) -> None:
    with sqlite3.connect(workspace / DATABASE) as database:
        for table in ("metrics", "latest_metrics"):
            database.execute(f"DELETE FROM {table} WHERE key = ?", (OBJECTIVE,))


def lose_params(client: "MlflowClient", workspace: Path) -> None:
    with sqlite3.connect(workspace / DATABASE) as database:
        database.execute("DELETE FROM params")


LOSSES = [
    lose_one_run,
    lose_all_runs,
    lose_runs_for_good,
    lose_the_database,
    lose_the_artifacts,
    lose_a_tag,
    lose_an_end,
    lose_metrics,
    lose_params,
]


@pytest.mark.parametrize("lose", LOSSES)
def test_whatever_a_store_lost_is_there_again(
    made: HandMade, workspace: Path, lose: "Callable[[MlflowClient, Path], None]"
) -> None:
    deliver(ways_to_end(made), workspace)
    expected = without_ids(everything_in(workspace))
    lose(open_store(workspace)[0], workspace)
    deliver(made, workspace)
    assert without_ids(everything_in(workspace)) == expected
    parent = runs_of(workspace)[""].info.run_id
    children = [run for trial, run in runs_of(workspace).items() if trial]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent}


def test_an_older_backup_of_the_database_is_brought_up_to_date(
    made: HandMade, workspace: Path, tmp_path: Path
) -> None:
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.1)
    deliver(made, workspace)
    shutil.copy(workspace / DATABASE, tmp_path / "backup.db")
    made.reported("001", 2, 0.2)
    made.ended("001")
    made.asked("002")
    made.closed()
    deliver(made, workspace)
    expected = without_ids(everything_in(workspace))
    shutil.copy(tmp_path / "backup.db", workspace / DATABASE)
    deliver(made, workspace)
    assert without_ids(everything_in(workspace)) == expected


def test_a_store_that_has_all_is_written_nothing(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    n_tracked = len(made.events)
    deliver_without_writing(made, workspace)
    assert len(made.events) == n_tracked


def test_a_store_that_has_an_infinite_metric_is_written_nothing(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.5, loss_total=math.inf, pds=-math.inf)
    made.ended("001")
    made.closed()
    deliver(made, workspace)
    deliver_without_writing(made, workspace)


def deliver_without_writing(made: HandMade, workspace: Path) -> None:
    client, experiment = open_store(workspace)

    def refuse() -> NoReturn:
        raise AssertionError("a write")

    deliver(made, workspace, lambda: (Breaking(client, lambda: None, refuse), experiment))


class Slow:
    """A store that takes longer for all calls together than a study's end waits for one without an answer."""

    def __init__(self, client: "MlflowClient", seconds: float) -> None:
        self._client, self._tick, self._seconds = client, threading.Event(), seconds

    def __getattr__(self, name: str) -> "Callable[..., Run | list[Run] | None]":
        method = getattr(self._client, name)

        def call(*args: object, **options: Any) -> "Run | list[Run] | None":
            self._tick.wait(self._seconds)
            return method(*args, **options)

        return call


def test_a_slow_store_is_waited_for_as_long_as_it_takes_something(
    made: HandMade, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways_to_end(made)
    client, experiment = open_store(workspace)
    monkeypatch.setattr("adapert.tracking.tracker.PATIENCE_SECONDS", 0.5)
    with tracking(made, lambda: (Slow(client, 0.03), experiment)) as tracker:
        assert tracker.close(patience_seconds=0.01) == 0
    assert len(runs_of(workspace)) == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_slow_store_took_before_it_fell_silent_is_kept(
    made: HandMade, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways_to_end(made)
    client, experiment = open_store(workspace)
    monkeypatch.setattr("adapert.tracking.tracker.PATIENCE_SECONDS", 0.05)
    waiting: list[int] = []
    while not waiting or waiting[-1]:
        n_calls, silent = [0], threading.Event()

        def fall_silent(n_calls: list[int] = n_calls, silent: Event = silent) -> None:
            n_calls[0] += 1
            if n_calls[0] == 9:
                silent.wait(1)
                raise Killed

        breaking = Breaking(client, lambda: None, fall_silent)
        with tracking(made, partial(lambda breaking: (breaking, experiment), breaking)) as tracker:
            waiting.append(tracker.close(patience_seconds=0.05))
            silent.set()
            tracker._thread.join()
        assert bool(waiting[-1]) == bool(tracker.trouble)
    assert waiting == sorted(waiting, reverse=True)
    assert len(waiting) > 3
    assert len(runs_of(workspace)) == 5


def test_a_store_that_cannot_be_asked_is_never_said_to_have_all(made: HandMade, workspace: Path) -> None:
    def refuse() -> NoReturn:
        raise ConnectionError

    deliver(ways_to_end(made), workspace)
    with tracking(made, refuse) as tracker:
        assert tracker.close(patience_seconds=0.05) == 1
    assert tracker.trouble


def test_lines_wait_for_an_experiment_that_somebody_deleted(made: HandMade, workspace: Path) -> None:
    client, experiment = open_store(workspace)
    client.delete_experiment(experiment)
    ways_to_end(made)
    with tracking(made, partial(open_store, workspace)) as tracker:
        assert tracker.close(patience_seconds=0.05) == len(made.events)
        assert "active" in tracker.trouble
    client.restore_experiment(experiment)
    deliver(made, workspace)
    assert len(runs_of(workspace)) == 5


def test_a_dead_store_holds_an_end_up_no_longer_than_its_patience_and_loses_nothing(
    made: HandMade, workspace: Path
) -> None:
    def refuse() -> NoReturn:
        raise ConnectionError("refused")

    ways_to_end(made)
    with tracking(made, refuse) as tracker:
        assert tracker.close(patience_seconds=0.05) == len(made.events)
    assert tracker.trouble == "ConnectionError: refused"
    assert count_waiting(made.folder, made.events) == len(made.events)
    deliver(made, workspace)
    assert count_waiting(made.folder, made.events) == 0
    assert len(runs_of(workspace)) == 5


def test_retries_keep_no_more_in_memory_each_time(made: HandMade, workspace: Path) -> None:
    client, experiment = open_store(workspace)
    n_metrics: list[int] = []

    class Refusing(Breaking):
        def log_batch(
            self, run_id: str, metrics: "Sequence[Metric]" = (), params: "Sequence[Param]" = ()
        ) -> None:
            if metrics and len(n_metrics) < 5:
                n_metrics.append(len(metrics))
                raise ConnectionError("gone")
            client.log_batch(run_id, metrics=metrics, params=params)

    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.5)
    deliver(made, workspace, lambda: (Refusing(client, lambda: None), experiment))
    assert len(n_metrics) == 5
    assert len(set(n_metrics)) == 1


@pytest.mark.parametrize("text", ["", "no", "[1]", '{"lines": null}', "{}"])
def test_a_damaged_count_delivers_all_again(tmp_path: Path, text: str) -> None:
    (tmp_path / DELIVERED_FILE).write_text(text)
    assert read_delivered(tmp_path) == 0


def test_two_workspaces_have_stores_of_their_own(
    made: HandMade, workspace: Path, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    second = make_ledger("second", base=BASE, workspace=other)
    (other / DATABASE).write_bytes((workspace / DATABASE).read_bytes())
    second.opened()
    deliver(second, other)
    deliver(ways_to_end(made), workspace)
    assert len(runs_of(workspace)) == 5
    assert runs_of(other)[""].data.tags[Tag.STUDY] == "second"


@pytest.mark.slow
def test_a_real_server_that_is_killed_and_comes_back_has_every_line_once(
    made: HandMade, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MlflowServer(f"sqlite:///{workspace / DATABASE}", tmp_path)
    server.start()
    (workspace / DATABASE).touch()
    monkeypatch.setattr("adapert.tracking.store.DATABASE", "none")
    name_store(workspace, server.address)
    with tracking(made, partial(open_store, workspace)) as tracker:
        ways_to_end(made)
        *first, last = [event for event in made.events if not isinstance(event, RunTracked)]
        state = StudyState()
        for number, event in enumerate([*first, last]):
            state.see(event)
            if number == len(first) // 2:
                server.kill()
            if number:
                tracker.on_event(event, state)
        assert tracker.close(patience_seconds=0.1) > 0
        assert tracker.trouble
    server.start()
    try:
        deliver(made, workspace)
        found = everything_in(workspace)
    finally:
        server.kill()
    assert sorted(found) == ["", "001", "002", "003", "004"]
    assert [step for step, *_ in found["001"]["history"][OBJECTIVE]] == [1, 2, 3]
    assert "RUNNING" not in {run["status"] for run in found.values()}
