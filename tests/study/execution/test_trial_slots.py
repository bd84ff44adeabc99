from pathlib import Path
from typing import Any

import pytest
from fixtures.executed import begin, epochs_in, execute, numbers_of

from adapert.records import FAILURE, MESSAGE, EndReason, TrialStatus
from adapert.study.engine.events import TrialStarted
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.execution.resources import Resources
from adapert.study.execution.trainer import TrialTrainer
from adapert.study.plan.study import Design

DESIGN = Design(kind="ablation", variants={"full": {}}, n_seeds=5)


def lines_until_two_epochs(folder: Path) -> list[str]:
    """Trials that had begun when the second epoch of the first was reported."""
    began = []
    for event in read_events(folder / LEDGER_FILE):
        if isinstance(event, TrialStarted):
            began.append(event.trial)
        elif getattr(event, "epoch", 0) == 2:
            break
    return began


def test_the_first_epoch_of_one_trial_says_how_many_follow(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrialTrainer, "count_slots", lambda _: 3)  # of a GPU that is not here
    folder = begin(tmp_path / "study", prepared, DESIGN)
    runner, closing = execute(folder, Resources(executor="local", slots="auto"))
    assert closing.status == TrialStatus.FINISHED
    assert epochs_in(folder)[0] == ("001", 1)
    assert epochs_in(folder)[1:4] == [("001", 2), ("002", 1), ("003", 1)]
    assert lines_until_two_epochs(folder) == ["001", "002", "003"]
    assert {record.n_slots for record in runner.state.records.values()} == {0}  # it is not known beforehand


@pytest.mark.slow
def test_trials_that_do_not_fit_together_are_trained_fewer_at_a_time(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = execute(begin(tmp_path / "alone", prepared, DESIGN), Resources(executor="local"))[0].state
    step, taken = TrialTrainer.step, []

    def too_large(trainer: TrialTrainer) -> dict[str, Any]:
        taken.append(trainer)
        if len(taken) <= 4:
            return {FAILURE: str(EndReason.MEMORY), MESSAGE: "CUDA out of memory."}
        return step(trainer)

    monkeypatch.setattr(TrialTrainer, "step", too_large)
    monkeypatch.setattr("adapert.study.execution.local.RETRY_SECONDS", 0.0)
    folder = begin(tmp_path / "study", prepared, DESIGN)
    runner, closing = execute(folder, Resources(executor="local", slots=4), max_failures=1)
    assert closing.status == TrialStatus.FINISHED
    assert [record.n_lost for record in runner.state.records.values()] == [1, 1, 1, 1, 0]
    assert len({trial for trial, _ in epochs_in(folder)[:4]}) == 2
    for record, other in zip(runner.state.records.values(), alone.records.values(), strict=True):
        assert numbers_of(record) == pytest.approx(numbers_of(other), rel=1e-5, nan_ok=True)


def test_a_trial_that_fits_not_even_alone_fails(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {FAILURE: str(EndReason.MEMORY), MESSAGE: "CUDA out of memory."}
    monkeypatch.setattr(TrialTrainer, "step", lambda _: report)
    monkeypatch.setattr("adapert.study.execution.local.RETRY_SECONDS", 0.0)
    folder = begin(tmp_path / "study", prepared, DESIGN)
    runner, _ = execute(folder, Resources(executor="local", slots=4), max_failures=5)
    ended = [record for record in runner.state.records.values() if record.reason == EndReason.MEMORY]
    assert ended
    assert {record.message for record in ended} == {"CUDA out of memory."}
