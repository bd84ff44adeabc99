import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from fixtures.ledger import HandMade, MakeLedger
from fixtures.servers import MlflowServer

from adapert.records import (
    OBJECTIVE,
    Tag,
)
from adapert.study.engine.events import RunTracked
from adapert.study.engine.state import StudyState
from adapert.tracking.store import DATABASE, name_store, open_store
from adapert.tracking.tracker import DELIVERED_FILE, count_waiting, read_delivered

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run
    from mlflow.tracking import MlflowClient
from fixtures.delivered import BASE, Breaking, Killed, deliver, everything_in, runs_of, tracking, ways_to_end


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
