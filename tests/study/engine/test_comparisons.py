"""Values that stand on rungs, where the first one moves."""

from adapert.records import OBJECTIVE
from adapert.study.engine.comparisons import Comparisons
from adapert.study.engine.events import EpochReported, FirstRungDecided, RungDecided, TrialAsked
from adapert.study.engine.state import StudyState
from adapert.study.plan.study import Search

MAX_EPOCHS = 20


class Lines:
    """A search's lines, and what a process that opens the study now would make of them."""

    def __init__(self) -> None:
        self.state, self.plan = StudyState(), Search(space={}, reduction_factor=2)
        self.live = Comparisons(self.plan, self.state, MAX_EPOCHS)

    def ask(self, trial: str) -> None:
        asked = TrialAsked(
            trial=trial, number=int(trial), variant="", seed=0, changes={}, suggested={}, config_digest=""
        )
        self.state.see(asked)

    def report(self, trial: str, epochs: range, value: float) -> RungDecided | None:
        """Report epochs of one value, and give the last one's decision, which a resumed study shares."""
        line = None
        for epoch in epochs:
            metrics = {OBJECTIVE: value + epoch / 1000}
            self.state.see(EpochReported(trial=trial, epoch=epoch, host="", is_over=False, metrics=metrics))
            resumed = Comparisons(self.plan, self.state, MAX_EPOCHS).compare(self.state.records[trial])
            line = self.live.compare(self.state.records[trial])
            assert (line and line.cutoff) == (resumed and resumed.cutoff)
            if line is not None:
                self.state.see(line)
        return line

    def learn(self, epoch: int | None) -> None:
        self.state.see(FirstRungDecided(epoch=epoch, n_trials=8, agreement=0.9))
        self.live.place()


def test_trials_before_it_was_known_stand_on_the_first_rung_with_what_they_had_there() -> None:
    lines = Lines()
    for trial, n_epochs in (("0", 10), ("1", 2)):
        lines.ask(trial)
        lines.report(trial, range(1, n_epochs + 1), float(trial))
    lines.learn(4)
    assert lines.report("1", range(3, 6), 1.0) is None  # it passes the rung, and is not compared
    lines.ask("2")
    line = lines.report("2", range(1, 5), 0.5)
    # The median of 0.004 and 1.004, the values at epoch 4.
    assert line is not None
    assert (line.rung, line.cutoff, line.is_stopped) == (4, 0.504, False)


def test_a_rung_that_moves_compares_running_trials_by_what_they_had_there() -> None:
    lines = Lines()
    lines.ask("0")
    lines.report("0", range(1, 11), 1.0)
    lines.learn(8)
    lines.ask("1")
    assert lines.report("1", range(1, 6), 0.5) is None
    lines.learn(3)
    line = lines.report("1", range(6, 7), 2.0)
    assert line is not None
    # Rungs are 3, 6 and 12 now.
    assert (line.rung, line.value, line.cutoff, line.is_stopped) == (6, 2.006, 1.006, False)
    lines.learn(None)
    lines.ask("2")
    assert lines.report("2", range(1, 15), 0.0) is None
