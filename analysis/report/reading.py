"""What is known of one study: from MLflow, and from its ledger where that lies in the workspace."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError
from adapert.records import Tag, TrialStatus
from adapert.study.ledger import LEDGER_FILE, read_events
from adapert.study.state import StudyState, fold
from adapert.tracking.read import read_design, read_trials, study_run, tag_of, trial_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

NOTE_TAG = "mlflow.note.content"
"""Of a study's own run: its question, then what came of it."""

_OF_TAGS = {"trial": Tag.TRIAL, "message": Tag.MESSAGE, "host": Tag.HOST}


@dataclass(frozen=True)
class StudyReading:
    """What is known of one study.

    Attributes:
        name: Of the study.
        design: What it was made for.
        run: Its own run in MLflow.
        trials: From `read_trials`, and trial, message and host of each; empty where it has none.
        state: Its ledger, folded; None where the workspace has not got it.
    """

    name: str
    design: str
    run: "Run"
    trials: pd.DataFrame
    state: StudyState | None

    @property
    def question(self) -> str:
        """What the study was to answer; empty where nobody said."""
        if self.state is not None:
            return str(self.state.definition["study"]["question"])
        note = str(self.run.data.tags.get(NOTE_TAG, "")).strip()
        return note.partition("\n\n")[0]

    @property
    def fingerprint(self) -> str:
        """Of its data; empty where it was not recorded."""
        return tag_of(self.run, Tag.DATA_FINGERPRINT) or _first(self.trials, "data.fingerprint")

    @property
    def data_path(self) -> str:
        """Where its data lay; empty where it has no trial."""
        return _first(self.trials, "data.path")

    @property
    def hosts(self) -> list[str]:
        """Where its trials ran; empty where nobody recorded it."""
        records = self.state.records.values() if self.state else ()
        tracked = set(self.trials["host"]) if len(self.trials) else set()
        return sorted((tracked | {record.host for record in records}) - {""})

    @property
    def finished(self) -> pd.DataFrame:
        """Its finished trials."""
        return self.trials[self.trials["status"] == TrialStatus.FINISHED] if len(self.trials) else self.trials

    @property
    def varied_fields(self) -> list[str]:
        """Fields of the config, dotted, in which its trials differ."""
        return find_varied(self.trials)

    def count(self, status: str) -> int:
        """Number of trials that stand so."""
        return int((self.trials["status"] == status).sum()) if len(self.trials) else 0

    def total(self, metric: str) -> float:
        """Sum of a metric's last values over all trials; 0 where none has it."""
        return float(self.trials[metric].sum()) if metric in self.trials else 0.0


def read_study(tracking_uri: str, workspace: Path, name: str) -> StudyReading:
    """Read what MLflow and the workspace know of a study.

    Raises:
        InputError: No such store or study, or one whose launches had different designs.
    """
    trials = read_trials(tracking_uri, name)
    runs = {run.info.run_id: run for run in trial_runs(tracking_uri, name)}
    if len(trials):
        of_tags = {
            column: [tag_of(runs[run_id], tag) for run_id in trials["run"]]
            for column, tag in _OF_TAGS.items()
        }
        trials = trials.assign(**of_tags)
    return StudyReading(
        name=name,
        design=read_design(tracking_uri, name),
        run=study_run(tracking_uri, name),
        trials=trials,
        state=read_state(workspace, name),
    )


def find_varied(trials: pd.DataFrame) -> list[str]:
    """Name the fields of the config, dotted, in which trials differ; where data lie is none."""
    fields = [name for name in Config().flat() if name in trials and name != "data.path"]
    return [name for name in fields if trials[name].nunique(dropna=False) > 1]


def metric_of(frame: pd.DataFrame, name: str) -> "pd.Series[float]":
    """A column of a frame, or NaN where it has no such column."""
    return frame[name] if name in frame else pd.Series(float("nan"), index=frame.index)


def read_state(workspace: Path, name: str) -> StudyState | None:
    """Fold a study's ledger; None where the workspace has none, or a damaged one."""
    try:
        return fold(read_events(workspace / "studies" / name / LEDGER_FILE))
    except InputError:  # tracked from another workspace, or damaged: MLflow has the rest
        return None


def _first(trials: pd.DataFrame, column: str) -> str:
    return str(trials[column].iloc[0]) if column in trials and len(trials) else ""
