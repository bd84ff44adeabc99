"""What a report asks of one study."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from adapert.config import Config
from adapert.records import TrialStatus
from adapert.results.find import open_study
from adapert.results.inputs import locate_data
from adapert.results.study import StudyResults


@dataclass(frozen=True)
class StudyReading:
    """What is known of one study.

    Attributes:
        results: Where it is read from.
        workspace: In which its data are looked for if they have been moved.
    """

    results: StudyResults
    workspace: Path

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.results.name

    @property
    def trials(self) -> pd.DataFrame:
        """From `StudyResults.frame`."""
        return self.results.frame

    @property
    def fingerprint(self) -> str:
        """Fingerprint of its data; empty where it was not recorded."""
        return self.results.fingerprint or _first(self.trials, "data.fingerprint")

    @property
    def data_path(self) -> str:
        """Where its data are now, or were where they are not found; empty where it has no trial."""
        path = _first(self.trials, "data.path")
        return path and self.locate_data(path)

    def locate_data(self, path: str) -> str:
        """Find its data set if it was moved together with the workspace; else return the path unchanged."""
        return str(locate_data(Path(path), self.fingerprint, self.workspace) or path)

    @property
    def hosts(self) -> list[str]:
        """Where its trials ran; empty where it was not recorded."""
        return sorted(set(self.trials["host"]) - {""}) if len(self.trials) else []

    @property
    def finished(self) -> pd.DataFrame:
        """Its finished trials."""
        return self.trials[self.trials["status"] == TrialStatus.FINISHED] if len(self.trials) else self.trials

    @property
    def varied_fields(self) -> list[str]:
        """Fields of the config, dotted, in which its trials differ; the data's path is not one of them."""
        fields = [name for name in Config().flat() if name in self.trials and name != "data.path"]
        return [name for name in fields if self.trials[name].nunique(dropna=False) > 1]

    def count(self, status: str) -> int:
        """Number of trials with this status."""
        return int((self.trials["status"] == status).sum()) if len(self.trials) else 0

    def total(self, metric: str) -> float:
        """Sum of a metric's last values over all trials; 0 where none has it."""
        return float(self.trials[metric].sum()) if metric in self.trials else 0.0


def read_study(workspace: Path, name: str) -> StudyReading:
    """Read what the workspace, or else MLflow, knows of a study.

    Raises:
        InputError: No such study, or one whose launches had different designs.
    """
    reading = StudyReading(open_study(workspace, name), workspace)
    reading.results.design  # noqa: B018  an ambiguous one is refused at once
    return reading


def metric_of(frame: pd.DataFrame, name: str) -> "pd.Series[float]":
    """A column of a frame, or NaN where it has no such column."""
    return frame[name] if name in frame else pd.Series(float("nan"), index=frame.index)


def _first(trials: pd.DataFrame, column: str) -> str:
    return str(trials[column].iloc[0]) if column in trials and len(trials) else ""
