import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.executed import When, begin, epochs_in, execute, numbers_of
from optuna.distributions import FloatDistribution

from adapert.records import EndReason, TrialStatus
from adapert.study.engine.events import EpochReported, TrialStarted, WorkerLost
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.state import StudyState
from adapert.study.execution import workers
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Design, FixedRung, Search

pytestmark = pytest.mark.slow

N_TRIALS = 10
SEARCH = Search(
    space={"model.tau": FloatDistribution(0.2, 2.0)},
    n_trials=N_TRIALS,
    first_rung=FixedRung(1),
    cohort_size=5,
)
ON_RAY = Resources(slots=4)
N_EPOCHS = 14
"""More than pass before a checkpoint."""

LONG: dict[str, object] = {"training.max_epochs": N_EPOCHS, "training.patience": N_EPOCHS}
DESIGN = Design(kind="ablation", variants={"full": {}}, n_seeds=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    write_prepared(build_tiny_dataset(), folder)
    return folder


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyState:
    """The search by trials in processes of their own."""
    return execute(begin(tmp_path_factory.mktemp("alone") / "study", data, SEARCH), Resources())[0].state


@pytest.fixture(scope="module")
def long_alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyState:
    """Long trials, one after the other."""
    folder = begin(tmp_path_factory.mktemp("long") / "study", data, DESIGN, **LONG)
    return execute(folder, Resources(executor="local"))[0].state


def assert_alike(found: StudyState, expected: StudyState) -> None:
    """Same configs, ends and epochs; numbers but for rounding."""
    assert found.records.keys() == expected.records.keys()
    for record, other in zip(found.records.values(), expected.records.values(), strict=True):
        ends = (record.changes, record.status, record.reason, record.n_epochs)
        assert ends == (other.changes, other.status, other.reason, other.n_epochs)
        assert numbers_of(record) == pytest.approx(numbers_of(other), rel=1e-5, nan_ok=True)


def most_at_once(folder: Path) -> int:
    """Trials that had begun and not ended, at most."""
    n = most = 0
    for event in read_events(folder / LEDGER_FILE):
        n += {"started": 1, "ended": -1, "lost": -1}.get(getattr(event, "event", ""), 0)
        most = max(most, n)
    return most


def find_workers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [process for process in children if "ray::SlotsWorker" in " ".join(process.cmdline())]


def test_a_search_in_slots_of_workers_ends_as_one_in_processes(
    tmp_path: Path, data: Path, alone: StudyState
) -> None:
    folder = begin(tmp_path / "study", data, SEARCH)
    runner, closing = execute(folder, ON_RAY)
    assert closing.status == TrialStatus.FINISHED
    assert_alike(runner.state, alone)
    assert {record.reason for record in runner.state.records.values()} == {EndReason.EPOCHS, EndReason.RUNG}
    assert len(epochs_in(folder)) == len(set(epochs_in(folder)))


def test_trials_of_a_killed_worker_go_on_from_their_checkpoints(
    tmp_path: Path, data: Path, long_alone: StudyState
) -> None:
    folder = begin(tmp_path / "study", data, DESIGN, **LONG)
    found: list[int] = []

    def kill() -> None:
        victims = find_workers()
        found.append(len(victims))
        victims[0].kill()

    resources = Resources(slots=4, max_concurrent=4, cpus_per_trial=os.cpu_count() or 1)
    runner, closing = execute(folder, resources, When(EpochReported, kill, 46), max_failures=1)
    assert (closing.status, found) == (TrialStatus.FINISHED, [1])
    assert_alike(runner.state, long_alone)
    assert {record.n_lost for record in runner.state.records.values()} == {1}
    events = read_events(folder / LEDGER_FILE)
    assert sum(isinstance(event, WorkerLost) for event in events) == 4
    assert [event.trial for event in events if isinstance(event, TrialStarted)] == [
        "001",
        "002",
        "003",
        "004",
    ] * 2
    assert len(epochs_in(folder)) == len(set(epochs_in(folder))) == 4 * N_EPOCHS


def test_an_interrupted_study_is_resumed_as_if_unbroken(
    tmp_path: Path, data: Path, long_alone: StudyState
) -> None:
    folder = begin(tmp_path / "study", data, DESIGN, **LONG)
    main = threading.main_thread().ident
    assert main is not None
    interrupt = When(EpochReported, lambda: signal.pthread_kill(main, signal.SIGTERM), 44)
    _, left = execute(folder, ON_RAY, interrupt)
    assert left.status == TrialStatus.INTERRUPTED
    assert 44 <= len(epochs_in(folder)) < 4 * N_EPOCHS
    runner, closing = execute(folder, ON_RAY)
    assert closing.status == TrialStatus.FINISHED
    assert_alike(runner.state, long_alone)
    assert len(epochs_in(folder)) == len(set(epochs_in(folder))) == 4 * N_EPOCHS


class NoWorker(workers.SlotsWorker):
    """What does not come up."""

    def __init__(self, *given: object) -> None:
        raise RuntimeError(given)


def test_workers_that_never_come_up_are_not_started_without_end(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SlotsWorker", NoWorker)
    runner, closing = execute(begin(tmp_path / "study", data, DESIGN), ON_RAY, max_failures=1)
    assert closing.status == TrialStatus.FAILED
    records = runner.state.records.values()
    assert {(record.status, record.reason) for record in records} == {("failed", EndReason.WORKER)}


def test_max_concurrent_counts_trials_and_workers_share_them(tmp_path: Path, data: Path) -> None:
    folder = begin(tmp_path / "study", data, DESIGN)
    assert execute(folder, Resources(slots=4, max_concurrent=3))[1].status == TrialStatus.FINISHED
    assert most_at_once(folder) == 3
