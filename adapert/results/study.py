"""What can be read of a study, whether from its ledger or from MLflow."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.errors import InputError, name_some
from adapert.records import TrialStatus
from adapert.results.trial import TrialResult
from adapert.study.engine.state import StudyState


@dataclass(frozen=True)
class PickRecord:
    """How a study's config was last picked.

    Attributes:
        objective: Metric by which it was picked.
        reevaluation: Study that retrained the best; empty where none did.
    """

    objective: str
    reevaluation: str = ""


MAIN_METRICS = ("best_pearson_delta", "best_pds", "best_epoch", "total_seconds")
"""What of a trial's metrics is read first."""


def main_columns(frame: pd.DataFrame) -> list[str]:
    """Name the columns of `StudyResults.frame` that say what trials tried, how they ended, what they reached.

    Fields of the config are among them where they differ between trials, messages where there are any.
    """
    fields = [name for name in map(str, frame) if "." in name and name != "data.path"]
    varied = [name for name in fields if frame[name].nunique(dropna=False) > 1]
    metrics = [name for name in MAIN_METRICS if name in frame]
    messages = ["message"] if frame["message"].astype(bool).any() else []
    return ["run", "variant", "seed", "status", *varied, *metrics, *messages]


class StudyResults(ABC):
    """A study that was launched, with all that its trials left; what is not known of it is empty.

    Attributes:
        name: Its name.
        question: What it was to answer.
        started_at: When it was launched, seconds since 1970.
        wall_seconds: Time with a process at work on it; NaN where that is not known.
        fingerprint: Fingerprint of its data set.
        git_commit: Commit of the code it was launched with.
        packages: Versions it was launched with: ``"torch 2.13.0, ..."``.
        run_id: Its own run in MLflow.
        state: Its ledger, folded; None where it is read from MLflow.
    """

    name: str
    question: str
    started_at: float
    wall_seconds: float
    fingerprint: str
    git_commit: str
    packages: str
    run_id: str
    state: StudyState | None = None

    @property
    @abstractmethod
    def design(self) -> str:
        """What it was made for: ``"search"``, ``"ablation"``, ``"sensitivity"``, ...

        Raises:
            InputError: It is not known.
        """

    @property
    @abstractmethod
    def status(self) -> str:
        """Where it stands: a `TrialStatus`, or ``"unknown"``."""

    @property
    @abstractmethod
    def origin(self) -> Mapping[str, Any]:
        """Fingerprints of its code and packages (`describe_code`)."""

    @property
    @abstractmethod
    def code_diff(self) -> str:
        """How its code differed from the commit; empty where it did not."""

    @property
    @abstractmethod
    def picked(self) -> PickRecord | None:
        """How its config was last picked; None where none was."""

    @cached_property
    @abstractmethod
    def trials(self) -> Sequence[TrialResult]:
        """Every trial, whatever its end, in the order in which they were asked for."""

    @abstractmethod
    def read_histories(self, metrics: Sequence[str]) -> pd.DataFrame:
        """Read what trials reported of some metrics, epoch by epoch.

        Returns:
            Columns run, metric, epoch, value; a trial without a metric has no row of it. Where an epoch was
            trained twice, since a worker was lost, the later report counts.
        """

    @abstractmethod
    def file(self, trial: TrialResult, name: str) -> AbstractContextManager[Path]:
        """Give the path of a file that a trial left, while the block runs.

        Raises:
            InputError: It left none of this name, or it cannot be read.
        """

    @abstractmethod
    def picked_model(self) -> AbstractContextManager[Path] | None:
        """Give the folder with the bundle of its picked config's model while the block runs; None without."""

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row a trial, in the order of asking; not to be changed.

        Columns run (``"search/007"``), trial, variant, seed, status, config_digest, reason (an `EndReason`),
        message, host, then the config under its dotted names and the last value of every metric. NaN where a
        trial has no such entry.
        """
        return pd.DataFrame([trial.to_row() for trial in self.trials])

    @property
    def trial_hours(self) -> float:
        """Cost: hours of work, summed over trials."""
        return sum(trial.metrics.get("total_seconds", 0.0) for trial in self.trials) / 3600

    def trial(self, number: str) -> TrialResult:
        """Find a trial by its id, with or without leading zeros.

        Raises:
            InputError: There is none.
        """
        by_number = {trial.trial_id.lstrip("0"): trial for trial in self.trials}
        if number.lstrip("0") not in by_number:
            known = name_some(trial.trial_id for trial in self.trials)
            raise InputError(f"Study '{self.name}' has no trial '{number}'. It has {known or 'none yet'}.")
        return by_number[number.lstrip("0")]

    def best_trial(self) -> TrialResult:
        """Find the finished trial with the best validation Pearson-delta.

        Raises:
            InputError: None is finished.
        """
        finished = [trial for trial in self.trials if trial.is_finished]
        if not finished:
            raise InputError(
                f"A study's name stands for its best finished trial, but '{self.name}' has none. "
                f"{self.how_to_finish}"
            )
        return max(finished, key=lambda trial: trial.objective)

    @property
    @abstractmethod
    def how_to_finish(self) -> str:
        """Advice on how to get a finished trial, in a sentence."""

    def count(self, status: TrialStatus) -> int:
        """Number of trials with a status."""
        return sum(trial.status == status for trial in self.trials)
