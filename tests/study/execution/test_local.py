import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.executed import When, begin, epochs_in, execute, numbers_of
from fixtures.exhaustive import few_fast
from optuna.distributions import FloatDistribution
from threadpoolctl import threadpool_info, threadpool_limits

from adapert.config import Config
from adapert.models.protocol import PerturbationModel
from adapert.records import HOST, EndReason, TrialStatus
from adapert.registry import build_model
from adapert.study.engine.events import EpochReported, TrialEnded, TrialStarted
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.requests import write_request
from adapert.study.engine.runner import Closing, StudyRunner
from adapert.study.execution import run
from adapert.study.execution.memory import NoMemoryError
from adapert.study.execution.resources import Resources
from adapert.study.execution.settings import trial_settings
from adapert.study.execution.trainer import TrialTrainer
from adapert.study.plan.study import Design, FixedRung, Search
from adapert.training import slots

DESIGN = Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.5}}, n_seeds=1)
HERE = Resources(executor="local")


@pytest.fixture
def folder(tmp_path: Path, prepared: Path) -> Path:
    """Folder of a study of two trials that has not begun."""
    return begin(tmp_path / "study", prepared, DESIGN)


def run_here(
    folder: Path, *observers: When, max_failures: int = 0, slots: int = 1
) -> tuple[StudyRunner, Closing]:
    return execute(folder, replace(HERE, slots=slots), *observers, max_failures=max_failures)


TRIALS = ["001", "002"]
EVERY_EPOCH = [(trial, epoch) for trial in TRIALS for epoch in range(1, 5)]


def test_trials_run_one_after_the_other_and_report_as_a_trainer_does(folder: Path) -> None:
    runner, closing = run_here(folder)
    assert closing.status == TrialStatus.FINISHED
    assert epochs_in(folder) == EVERY_EPOCH
    for record in runner.state.records.values():
        trainer = TrialTrainer()
        trainer.take(trial_settings(record, runner.study, folder / "direct", HERE))
        last: dict[str, Any] = {}
        for _ in range(4):
            last |= trainer.step()
        assert numbers_of(record) == {name: last[name] for name in numbers_of(record)}
        assert record.host == last[HOST]


def counted_threads() -> set[int]:
    """Threads of torch, and of numpy's and scipy's BLAS."""
    blas = threadpool_info()
    return {torch.get_num_threads(), *(each["num_threads"] for each in blas if each["user_api"] == "blas")}


def test_a_trial_gets_its_threads_and_the_process_keeps_its_own(folder: Path) -> None:
    seen: list[set[int]] = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2, "blas"):
            run_here(folder, When(EpochReported, lambda: seen.append(counted_threads())))
            assert (seen, counted_threads()) == ([{1}], {2})
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """Numbers of the study's trials where nothing interrupts it."""
    place = tmp_path_factory.mktemp("unbroken")
    write_prepared(build_tiny_dataset(), place / "prepared")
    runner, _ = run_here(begin(place / "study", place / "prepared", DESIGN))
    return [numbers_of(record) for record in runner.state.records.values()]


@pytest.mark.parametrize(("number", "n"), [(signal.SIGINT, 1), (signal.SIGTERM, 6), (signal.SIGHUP, 4)])
def test_a_signal_ends_the_study_after_the_epoch_and_it_is_resumed_as_if_unbroken(
    folder: Path, unbroken: list[dict[str, float]], number: signal.Signals, n: int
) -> None:
    usual = signal.getsignal(number)
    _, left = run_here(folder, When(EpochReported, lambda: os.kill(os.getpid(), number), n))
    assert (left.status, epochs_in(folder)) == (TrialStatus.INTERRUPTED, EVERY_EPOCH[:n])
    assert signal.getsignal(number) == usual
    resumed, closing = run_here(folder)
    assert closing.status == TrialStatus.FINISHED
    assert epochs_in(folder) == EVERY_EPOCH
    assert [numbers_of(record) for record in resumed.state.records.values()] == unbroken


def test_a_second_signal_ends_the_study_amid_an_epoch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SAME_SECONDS", 0.0)
    step, seen = TrialTrainer.step, []

    def signalled(trainer: TrialTrainer) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        seen.append("first")
        os.kill(os.getpid(), signal.SIGINT)
        return step(trainer)

    monkeypatch.setattr(TrialTrainer, "step", signalled)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run_here(folder)
    monkeypatch.undo()
    assert (seen, epochs_in(folder)) == (["first"], [])
    assert run_here(folder)[1].status == TrialStatus.FINISHED


def test_a_trial_that_is_asked_to_stop_ends_and_the_next_one_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.study.engine.runner.LOOK_EVERY", 0.0)
    runner, closing = run_here(
        folder, When(EpochReported, lambda: write_request(folder, "stop", trial="001"))
    )
    ends = [(record.status, record.reason) for record in runner.state.records.values()]
    finished = (TrialStatus.FINISHED, EndReason.EPOCHS)
    assert ends == [(TrialStatus.STOPPED, EndReason.REQUEST), finished]
    assert closing.status == TrialStatus.FINISHED


def test_a_study_that_is_asked_to_stop_ends_what_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapert.study.engine.runner.LOOK_EVERY", 0.0)
    ask = When(EpochReported, lambda: write_request(folder, "stop", trial=None), 6)
    runner, closing = run_here(folder, ask)
    assert (closing.status, closing.reason) == (TrialStatus.STOPPED, EndReason.REQUEST)
    assert epochs_in(folder) == EVERY_EPOCH[:6]
    assert [record.status for record in runner.state.records.values()] == ["finished", "stopped"]


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the next steps find no memory."""

    def of(n_times: int) -> None:
        left, step = [None] * n_times, TrialTrainer.step

        def short(trainer: TrialTrainer) -> dict[str, Any]:
            if left:
                left.pop()
                raise NoMemoryError("A trial must find 512 MiB free.")
            return step(trainer)

        monkeypatch.setattr(TrialTrainer, "step", short)

    monkeypatch.setattr("adapert.study.execution.local.RETRY_SECONDS", 0.0)
    return of


def test_a_trial_that_finds_no_memory_is_tried_again(
    folder: Path, short_of_memory: Callable[[int], None]
) -> None:
    short_of_memory(2)
    runner, closing = run_here(folder, max_failures=2)
    assert closing.status == TrialStatus.FINISHED
    assert [record.n_lost for record in runner.state.records.values()] == [2, 0]
    starts = [event.trial for event in read_events(folder / LEDGER_FILE) if isinstance(event, TrialStarted)]
    assert starts == ["001", "001", *TRIALS]


def test_a_trial_that_never_finds_memory_fails_and_the_others_run(
    folder: Path, short_of_memory: Callable[[int], None]
) -> None:
    short_of_memory(3)
    runner, closing = run_here(folder, max_failures=2)
    first, *others = runner.state.records.values()
    assert (closing.status, first.status, first.reason) == ("failed", "failed", EndReason.WORKER)
    assert first.message == "A trial must find 512 MiB free."
    assert {record.status for record in others} == {TrialStatus.FINISHED}


def test_a_failed_trial_is_recorded_and_the_next_one_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    def repair() -> None:
        monkeypatch.undo()

    monkeypatch.setattr("adapert.study.execution.trainer.build_model", fail)
    runner, _ = run_here(folder, When(TrialEnded, repair))
    ends = [(record.status, record.message) for record in runner.state.records.values()]
    assert ends == [(TrialStatus.FAILED, "ValueError: no"), (TrialStatus.FINISHED, "")]


def test_trials_in_slots_find_what_they_find_one_after_the_other(
    folder: Path, unbroken: list[dict[str, float]]
) -> None:
    runner, closing = run_here(folder, slots=8)
    assert closing.status == TrialStatus.FINISHED
    assert epochs_in(folder) == sorted(EVERY_EPOCH, key=lambda line: line[1])
    for record, alone in zip(runner.state.records.values(), unbroken, strict=True):
        assert numbers_of(record) == pytest.approx(alone, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("n", few_fast((4, 1, 5), 1))
def test_slots_that_are_left_amid_an_epoch_are_resumed_as_if_unbroken(
    folder: Path, unbroken: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr("adapert.study.execution.trainer.CHECKPOINT_EVERY", 1)
    run_here(folder, When(EpochReported, lambda: os.kill(os.getpid(), signal.SIGINT), n), slots=2)
    assert len(epochs_in(folder)) == n
    resumed, closing = run_here(folder, slots=2)
    assert closing.status == TrialStatus.FINISHED
    assert sorted(epochs_in(folder)) == EVERY_EPOCH
    for record, alone in zip(resumed.state.records.values(), unbroken, strict=True):
        assert numbers_of(record) == pytest.approx(alone, rel=1e-5, nan_ok=True)


@pytest.mark.slow
def test_a_search_in_slots_asks_the_same_and_ends_the_same(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Search(space={"model.tau": FloatDistribution(0.2, 2.0)}, n_trials=10, first_rung=FixedRung(1))
    states = []
    for name, shape_of in (("apart", lambda _: None), ("together", slots.shape_of)):
        monkeypatch.setattr("adapert.training.side_by_side.shape_of", shape_of)
        folder = begin(tmp_path / name, prepared, plan)
        states.append(run_here(folder, slots=4)[0].state)
    for apart, together in zip(*(state.records.values() for state in states), strict=True):
        assert (together.changes, together.status, together.reason) == (
            apart.changes,
            apart.status,
            apart.reason,
        )
        assert numbers_of(together) == pytest.approx(numbers_of(apart), rel=1e-5, nan_ok=True)


def test_a_trial_that_fails_leaves_the_other_slots_alone(
    folder: Path, unbroken: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_first(config: Config, seed: int, device: torch.device) -> PerturbationModel:
        if config.model.tau != 0.5:
            raise ValueError("no")
        return build_model(config, seed, device)

    monkeypatch.setattr("adapert.study.execution.trainer.build_model", fail_first)
    failed, finished = run_here(folder, slots=2)[0].state.records.values()
    assert (failed.status, failed.message) == (TrialStatus.FAILED, "ValueError: no")
    assert numbers_of(finished) == unbroken[1]
