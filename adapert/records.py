"""What a study writes and analysis reads: trials, their ends, and the names both sides use."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class TrialStatus(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    """Ended early by the scheduler; its values are partial."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass
class TrialRecord:
    """One config, one seed, trained once.

    Attributes:
        trial_id: Unique in its study.
        variant: Named change from the base config; ``"full"`` where there is none.
        seed: Of the trial.
        changes: Dotted fields that differ from the study's base config.
        status: Where it stands.
        message: Why it failed; empty otherwise.
        n_epochs: Epochs reported so far.
        metrics: The last report.
    """

    trial_id: str
    variant: str
    seed: int
    changes: Mapping[str, Any]
    status: TrialStatus = TrialStatus.RUNNING
    message: str = ""
    n_epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def objective(self) -> float:
        """Value of `OBJECTIVE`; minus infinity where it is NaN or none was reported."""
        value = self.metrics.get(OBJECTIVE, math.nan)
        return -math.inf if math.isnan(value) else value


OBJECTIVE = "best_pearson_delta"
"""What studies optimise and `pick` ranks by, larger is better: the best epoch's validation Pearson-delta."""

EVALUATED = ("retrieval", "centroid_pearson", "overlap_at_50", "overlap_at_100", "spearman_n_degs")
"""Metrics that are computed at a trial's end alone, tracked as ``best_...``: they are the best epoch's."""

EXPERIMENT = "adapert"
"""The MLflow experiment of every study."""

PER_PERTURBATION_FILE = "metrics_per_perturbation.parquet"
"""Artifact of each finished trial: the long table of metrics.md section 2, in `LONG_COLUMNS`."""

CONFIG_FILE = "config.yaml"
"""Artifact of each trial: its whole config."""

WEIGHTS_FILE = "weights.safetensors"
"""Artifact of each finished trial: the best epoch's weights."""

IS_OVER = "is_over"
"""Reported with every epoch: whether it was the trial's last by its own rules, not by a scheduler's."""

LONG_COLUMNS = (
    "run",
    "study",
    "variant",
    "config_digest",
    "seed",
    "split_seed",
    "split",
    "perturbation",
    "effect_size",
    "n_cells",
    "n_degs",
    "metric",
    "value",
)


class Tag(StrEnum):
    """Tags of MLflow runs."""

    KIND = "adapert.kind"  # "study" (parent run) or "trial" (child run)
    STUDY = "adapert.study"
    DESIGN = "adapert.design"  # "search", "ablation" or "sensitivity", on the parent run
    STATUS = "adapert.status"
    MESSAGE = "adapert.message"
    TRIAL = "adapert.trial"
    VARIANT = "variant"
    SEED = "seed"
    CONFIG_DIGEST = "config_digest"
    DATA_FINGERPRINT = "data_fingerprint"
    GIT_COMMIT = "git_commit"
    VERSIONS = "versions"
