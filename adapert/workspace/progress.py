"""Live progress of a study, in a terminal or a notebook."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from adapert.errors import format_count
from adapert.evaluation.catalogue import find_metric
from adapert.html import build_bar, build_card, build_sentences, build_table
from adapert.records import OBJECTIVE, TrialRecord, TrialStatus, best_record
from adapert.study.engine.events import Event, SessionClosed, TrialEnded, TrialStarted, WorkerLost
from adapert.study.engine.state import StudyState
from adapert.workspace.card import NotebookCard

COLOURS = {
    TrialStatus.RUNNING: "cyan",
    TrialStatus.FINISHED: "green",
    TrialStatus.STOPPED: "yellow",
    TrialStatus.FAILED: "red",
    TrialStatus.INTERRUPTED: "yellow",
}
ROWS_SHOWN = 8
LEADING_SHOWN = 5
FAILURES_SHOWN = 3

CONTINUE = "Run the cell again, and it continues where it was."
"""Said in a notebook of a study that was interrupted."""


class Progress:
    """Show trials running, done, stopped and failed, the best so far, and the time left.

    A notebook has them on one card. Where the output is neither, print a line whenever a trial ends instead.
    """

    def __init__(self, console: Console, state: StudyState, waited_for: str = "") -> None:
        """Nothing is shown before the block is entered.

        Args:
            console: Where it is shown.
            state: The study so far.
            waited_for: What the first trial waits for, such as "starting Ray".
        """
        self.console, self.state = console, state
        self._waited_for = waited_for
        self.started = time.monotonic()
        self._done_before = self._done()
        # A live display takes stdout and stderr over: that of a quiet console would swallow others' warnings.
        self._card = NotebookCard() if console.is_jupyter and not console.quiet else None
        self._is_live = console.is_terminal and not console.quiet and self._card is None
        self.live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self.render)

    def __enter__(self) -> "Progress":
        if self._is_live:
            self.live.start()
        if self._card:
            self._card.draw(self.build_html, self.summary())
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self.live.stop()

    def on_event(self, event: Event, state: StudyState) -> None:
        """Print a line for a trial that ended where nothing is drawn live, and every failure's sentence."""
        self.state = state
        if isinstance(event, TrialStarted):
            self._waited_for = ""
        if self._card:
            self._card.draw(self.build_html, self.summary(), is_last=isinstance(event, SessionClosed))
            return
        if isinstance(event, WorkerLost):
            self.console.print(f"{event.trial} lost its worker and continues in another.", soft_wrap=True)
        if not isinstance(event, TrialEnded):
            return
        record = state.records[event.trial]
        if not self.console.is_terminal:
            tried = Tried(self._snapshot()).describe(record)
            line = f"{self.summary()} | {tried}, seed {record.seed}: {describe(record)}"
            self.console.print(line, soft_wrap=True, markup=False)
        elif record.status == TrialStatus.FAILED:
            line = f"{record.trial_id} failed: {record.message}"
            self.console.print(line, soft_wrap=True, markup=False)

    def summary(self) -> str:
        """One line: counts, best, time left."""
        records = self._snapshot()
        n_ended = sum(record.status != TrialStatus.RUNNING for record in records)
        parts = [f"{n_ended}/{format_count(self.state.n_asked, 'trial')}"]
        parts += describe_ends(records, is_left=self.state.closed is not None)
        best = best_record(records)
        if best is not None:
            parts.append(f"best Pearson-delta {best.metrics[OBJECTIVE]:.3f}")
        if self._waited_for:
            parts.append(self._waited_for)
        left = self.seconds_left()
        if left is not None:
            parts.append(f"about {format_seconds(left)} left")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Extrapolate from epochs done; a trial that was stopped counts as done. None before the first."""
        done = self._done()
        if done <= self._done_before or done >= self.state.n_asked or self.state.closed:
            return None
        return (time.monotonic() - self.started) * (self.state.n_asked - done) / (done - self._done_before)

    def _done(self) -> float:
        max_epochs = self.state.study.base.training.max_epochs
        return sum(
            record.n_epochs / max_epochs if record.status == TrialStatus.RUNNING else 1.0
            for record in self._snapshot()
        )

    def _snapshot(self) -> list[TrialRecord]:
        # The terminal is drawn by a thread of its own while trials are added.
        return list(self.state.records.values())

    def build_html(self) -> str:
        """Draw for a notebook: the summary, the leading trials, what failed, and why the study was left."""
        study, closed, records = self.state.study, self.state.closed, self._snapshot()
        failures = [f"{r.trial_id} failed: {r.message}" for r in records if r.status == TrialStatus.FAILED]
        said = [self.summary(), *failures[-FAILURES_SHOWN:]]
        if closed:
            said += [closed.message, CONTINUE if closed.status == TrialStatus.INTERRUPTED else ""]
        return build_card(
            f"{study.name}: {study.question}",
            build_bar(self._done() / max(1, self.state.n_asked)),
            build_sentences(said),
            build_leading(records, LEADING_SHOWN, is_left=closed is not None),
        )

    def render(self) -> Group:
        """Draw the summary, the trials that ended last, and below them those that run."""
        metrics = [find_metric(name).label for name in ("pearson_delta", "pds")]
        records = self._snapshot()
        tried = Tried(records)
        columns = ("trial", "seed", "status", "epoch", *metrics, tried.head)
        table = empty_table(columns, ("seed", "epoch", *metrics))
        by_end = sorted(records, key=lambda record: record.status == TrialStatus.RUNNING)
        for record in by_end[-ROWS_SHOWN:]:
            table.add_row(
                record.trial_id,
                str(record.seed),
                Text(record.status, style=COLOURS[record.status]),
                str(record.n_epochs),
                format_value(record.metrics.get(OBJECTIVE)),
                format_value(record.metrics.get("best_pds")),
                Text(tried.describe(record)),
            )
        return Group(Text(self.summary()), table)


class Tried:
    """What tells trials of a study apart: their variants, or the hyperparameters that a search tries."""

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        """Find it: a search calls all its trials alike."""
        is_search = len({record.variant for record in records}) == 1 and any(
            record.suggested for record in records
        )
        self.head = "hyperparameters" if is_search else "variant"

    def describe(self, record: TrialRecord) -> str:
        """Say what a trial tries: ``"lambda_non 0.00117, top_k 5"``, or its variant."""
        if self.head == "variant":
            return record.variant
        return ", ".join(
            f"{field.rpartition('.')[2]} {value:.3g}"
            if isinstance(value, float)
            else f"{field.rpartition('.')[2]} {value}"
            for field, value in record.changes.items()
        )


def build_leading(records: Sequence[TrialRecord], n_shown: int, is_left: bool) -> str:
    """Put the best trials into a table of a notebook; nothing without trials.

    Args:
        records: Every trial.
        n_shown: How many are shown, the best first.
        is_left: Whether no process runs them any more.
    """
    tried = Tried(records)
    rows = [
        (
            record.trial_id,
            record.seed,
            _status(record, is_left),
            record.n_epochs,
            record.metrics.get(OBJECTIVE),
            tried.describe(record),
        )
        for record in sorted(records, key=lambda record: record.objective, reverse=True)
    ]
    heads = ("trial", "seed", "state", "epoch", find_metric("pearson_delta").label, tried.head)
    return build_table(heads, rows, n_shown) if rows else ""


def describe_ends(records: Iterable[TrialRecord], is_left: bool) -> list[str]:
    """Count trials by where they stand: ``["1 running", "3 finished"]``; as `build_leading`."""
    counts = Counter(_status(record, is_left) for record in records)
    return [f"{counts[status]} {status}" for status in TrialStatus if counts[status]]


def _status(record: TrialRecord, is_left: bool) -> TrialStatus:
    is_interrupted = is_left and record.status == TrialStatus.RUNNING
    return TrialStatus.INTERRUPTED if is_interrupted else record.status


def empty_table(columns: Sequence[str], numbers: Sequence[str]) -> Table:
    """Table without a row; columns of numbers are aligned right."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        # Wrap what does not fit, rather than cut it.
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def describe(record: TrialRecord) -> str:
    """How a trial ended, in a few words."""
    if record.status == TrialStatus.FAILED:
        return f"failed: {record.message}"
    value = format_value(record.metrics.get(OBJECTIVE))
    return f"{record.status} after {format_count(record.n_epochs, 'epoch')}, Pearson-delta {value}"


def format_seconds(seconds: float) -> str:
    """``"45 s"``, ``"12 min"`` or ``"3.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_value(value: float | None) -> str:
    """``"0.432"``, or ``"-"`` where there is none."""
    return "-" if value is None else f"{value:.3f}"
