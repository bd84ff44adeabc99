"""What runs say of themselves: a study's counts, cost and best config, a trial's end and its config."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from adapert.errors import format_count
from adapert.records import OBJECTIVE, EndReason, TrialRecord, TrialStatus, best_record
from adapert.study.engine.first_rung import describe_first_rung
from adapert.study.engine.state import StudyState

N_FAILURES_SHOWN = 5

RULE = "\n\n---\n\n"
"""Divides the findings about a study from what is known of its trials."""

HEAD = "Findings of "
"""How findings begin, by which a note is known to have some."""


def escape_markdown(text: str) -> str:
    """Let MLflow's page show a text as it is: on one line, and none of its characters as Markdown or HTML."""
    line = " ".join(str(text).split())
    return re.sub(r"^([-+]|\d+[.)])(?=\s|$)", r"\\\1", re.sub(r"([\\`*_{}\[\]<>#|~&$!])", r"\\\1", line))


def describe_findings(sentences: Sequence[str], made_at: str) -> str:
    """Write findings in Markdown, with the time at which they were found."""
    listed = [f"- {escape_markdown(sentence)}" for sentence in sentences]
    return "\n".join([f"{HEAD}{made_at}:", "", *listed])


def put_first(findings: str, note: str) -> str:
    """Begin a study's note with findings, in place of those that it began with; a user's words stay."""
    rest = note.partition(RULE)[2] if note.startswith(HEAD) else note
    return f"{findings}{RULE}{rest}"


def best_finished(state: StudyState) -> TrialRecord | None:
    """Find the finished trial of best objective; None where none has one."""
    return best_record(record for record in state.records.values() if record.status == TrialStatus.FINISHED)


def summarize_state(state: StudyState) -> dict[str, float]:
    """Count trials by their end, sum their cost, and repeat the best one's metrics."""
    counts = Counter(record.status for record in state.records.values())
    best = best_finished(state)
    values = {} if best is None else {k: v for k, v in best.metrics.items() if k.startswith("best_")}
    return values | {
        **{f"n_{end}": float(counts[end]) for end in TrialStatus if end != TrialStatus.RUNNING},
        "trial_hours": state.trial_hours,
        "wall_hours": state.seconds / 3600,
    }


def describe_state(state: StudyState) -> str:
    """Tell in Markdown what was asked and what came of it."""
    lines = [escape_markdown(state.definition.study["question"]), ""]
    counts = Counter(record.status for record in state.records.values())
    ends = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    lines += [f"{ends or 'no trial yet'}; {state.trial_hours:.2f} trial-hours."]
    if state.closed and state.closed.message:
        lines += ["", escape_markdown(state.closed.message)]
    if first_rung := describe_first_rung(state):
        lines += ["", escape_markdown(first_rung)]
    best = best_finished(state)
    if best is not None:
        lines += [
            "",
            f"Best: trial {best.trial_id}, validation Pearson-delta {best.metrics[OBJECTIVE]:.4f}",
            *_tabulate(best.changes),
        ]
    failures = Counter(r.message for r in state.records.values() if r.status == TrialStatus.FAILED)
    if failures:
        lines += ["", "| failures | what |", "|---|---|"]
        lines += [
            f"| {count} | {escape_markdown(message)} |"
            for message, count in failures.most_common(N_FAILURES_SHOWN)
        ]
    return "\n".join(lines)


def describe_trial(record: TrialRecord) -> str:
    """Tell in Markdown how a trial ended, what it reached, and what its config changes."""
    said = f"{record.status.capitalize()} after {format_count(record.n_epochs, 'epoch')}"
    if record.reason == EndReason.RUNG:
        said += ": others had reached more by then"
    lines = [f"{said}."]
    if math.isfinite(record.objective):
        at = record.metrics.get("best_epoch", math.nan)
        epoch = f", at epoch {at:.0f}" if math.isfinite(at) else ""
        lines[0] += f" Best validation Pearson-delta {record.objective:.4f}{epoch}."
    if record.message:
        lines += ["", escape_markdown(record.message)]
    return "\n".join([*lines, *_tabulate(record.changes)])


def _tabulate(changes: Mapping[str, Any]) -> list[str]:
    """Lines of a table of changed fields, if any."""
    rows = [f"| {escape_markdown(name)} | {escape_markdown(str(value))} |" for name, value in changes.items()]
    return ["", "| field | value |", "|---|---|", *rows] if rows else []
