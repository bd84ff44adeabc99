from pathlib import Path
from typing import TYPE_CHECKING

from fixtures.ledger import HandMade, MakeLedger

from adapert.records import (
    OBJECTIVE,
)
from adapert.tracking.store import DATABASE, open_store

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
from fixtures.delivered import (
    BASE,
    Breaking,
    deliver,
    everything_in,
    one_trial,
    runs_of,
    ways_to_end,
    without_ids,
)


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
