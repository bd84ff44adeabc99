"""What is known of one trial, wherever it was read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapert.config import Config, build_config
from adapert.records import OBJECTIVE, TrialStatus


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial of a study.

    Attributes:
        study: Its study's name.
        trial_id: Unique in the study.
        variant: Named change from the study's base config.
        seed: Seed of the trial.
        status: Where it stands.
        reason: Why it ended (an `EndReason`); empty where it has not.
        message: Why, in a sentence; may be empty.
        host: Where it last ran; empty where that is not known.
        config_digest: `Config.digest` of its config.
        config: All fields under their dotted names.
        metrics: Last value of each metric.
        device: ``"cpu"`` or ``"cuda"``; empty where that is not known.
        n_threads: Number of threads; 0 where that is not known.
        n_slots: Trials at once in its process; 0 where that is not known.
        git_commit: Commit of the code that it ran with.
        packages: Versions that it ran with: ``"torch 2.13.0, ..."``.
        run_id: Its run in MLflow; empty where it has none.
    """

    study: str
    trial_id: str
    variant: str
    seed: int
    status: TrialStatus
    reason: str
    message: str
    host: str
    config_digest: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    device: str
    n_threads: int
    n_slots: int
    git_commit: str
    packages: str
    run_id: str

    @property
    def name(self) -> str:
        """As a user names it: ``"search/007"``."""
        return f"{self.study}/{self.trial_id}"

    @property
    def objective(self) -> float:
        """Best validation Pearson-delta; NaN where none was reported."""
        return self.metrics.get(OBJECTIVE, math.nan)

    @property
    def is_finished(self) -> bool:
        """Whether it ended by its own rules, with a Pearson-delta."""
        return self.status == TrialStatus.FINISHED and not math.isnan(self.objective)

    def build_config(self) -> Config:
        """Build its config.

        Raises:
            InputError: It has fields that this version does not know.
        """
        return build_config(dict(self.config))

    def to_row(self) -> dict[str, Any]:
        """Build its row of `StudyResults.frame`."""
        identity = {
            "run": self.name,
            "trial": self.trial_id,
            "variant": self.variant,
            "seed": self.seed,
            "status": str(self.status),
            "config_digest": self.config_digest,
            "reason": self.reason,
            "message": self.message,
            "host": self.host,
        }
        return identity | dict(self.config) | dict(sorted(self.metrics.items()))
