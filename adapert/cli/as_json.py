"""Results as JSON, for scripts: the keys that docs/terminal.md lists, which keep their names."""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapert.cli.printing import console

if TYPE_CHECKING:
    from adapert.comparison.assess import Assessment
    from adapert.comparison.pair import PairComparison
    from adapert.selection.rank import Pick
    from adapert.workspace.status import StudyStatus

Rows = list[dict[str, Any]]


def keep_stdout_free() -> None:
    """Let everything that the command prints go to stderr, until it ends."""
    console.stderr = True


@contextmanager
def stdout_put_back() -> Iterator[None]:
    """Print on stdout again after the block, whatever a command in it has set."""
    try:
        yield
    finally:
        console.stderr = False


def print_json(value: Any) -> None:
    """Print a value as JSON: whatever is not known is null, since JSON has neither NaN nor infinity."""
    sys.stdout.write(f"{json.dumps(_plain(value), indent=2, allow_nan=False)}\n")


def describe_study(status: "StudyStatus") -> dict[str, Any]:
    """Put where a study stands into JSON's types."""
    closed = status.state.closed
    return {
        "study": status.name,
        "workspace": status.workspace,
        "kind": status.kind,
        "question": status.state.definition.study["question"],
        "state": status.word,
        "message": closed.message if closed else "",
        "holder": status.holder,
        "n_trials": status.n_asked,
        "n_ended": len(status.ended),
        "ends": dict(Counter(status.end_of(record) for record in status.state.records.values())),
        "best_pearson_delta": status.best,
        "trial_hours": status.state.trial_hours,
        "seconds": status.state.seconds,
        "n_waiting_for_mlflow": status.n_waiting,
    }


def describe_trials(status: "StudyStatus") -> Rows:
    """Put the trials of a study into JSON's types, in the order of asking."""
    return [
        {
            "trial": f"{status.name}/{record.trial_id}",
            "variant": record.variant,
            "seed": record.seed,
            "state": status.end_of(record),
            "reason": record.reason,
            "message": record.message,
            "n_epochs": record.n_epochs,
            "seconds": record.seconds,
            "host": record.host,
            "config_digest": record.config_digest,
            "changes": record.changes,
            "metrics": record.metrics,
        }
        for record in status.state.records.values()
    ]


def describe_pick(study: str, picked: "Pick", out: Path | None) -> dict[str, Any]:
    """Put a pick into JSON's types."""
    return {
        "study": study,
        "objective": picked.objective,
        "rank": picked.rank,
        "config_digest": picked.config.digest(),
        "config": picked.config.settings(),
        "reason": picked.reason,
        "notes": picked.notes,
        "lead": picked.lead and picked.lead._asdict(),
        "reevaluation": picked.reevaluation,
        "trials": picked.trials,
        "n_left_out": picked.n_left_out,
        "candidates": _rows(picked.candidates),
        "reevaluated": [] if picked.reevaluated is None else _rows(picked.reevaluated),
        "out": out,
    }


def describe_assessment(assessment: "Assessment", split: str) -> dict[str, Any]:
    """Put an evaluation into JSON's types."""
    access = assessment.access
    return {
        "split": split,
        "folder": assessment.folder,
        "study": assessment.study,
        "access": access and access.describe(),
        "access_number": access and access.number,
        "transfer": assessment.transfer and assessment.transfer.describe(),
        "summary": _rows(assessment.summary),
        "paired": _rows(assessment.paired),
        "combinations": _rows(assessment.combinations),
    }


def describe_pair(compared: "PairComparison") -> dict[str, Any]:
    """Put a pair, compared, into JSON's types."""
    sides = {"first": compared.first, "second": compared.second}
    return {
        **{
            place: {"name": side.name, "trials": side.trials, "config_digest": side.config.digest()}
            for place, side in sides.items()
        },
        "config": _rows(compared.config),
        "metrics": _rows(compared.metrics),
        "perturbations": _rows(compared.perturbations),
        "sentences": compared.sentences,
        "notes": compared.notes,
    }


def _rows(frame: Any) -> Rows:
    return [dict(row) for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """Put a value into JSON's types."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return None if type(value).__name__ == "NAType" else str(value)
