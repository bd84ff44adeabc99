"""What a study writes and analysis reads: trials, their ends, and the names both sides use."""

import math
from collections.abc import Iterable, Mapping
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


class EndReason(StrEnum):
    """Why a trial ended."""

    EPOCHS = "epochs"
    """By its own rules: its epochs or its patience were used up."""
    RUNG = "rung"
    """The scheduler compared it with others."""
    REQUEST = "request"
    """A user asked for it."""
    LIMIT = "limit"
    """A limit of the study was reached."""
    DIVERGED = "diverged"
    """Its loss or its predictions became NaN or infinite."""
    MEMORY = "memory"
    """It needs more memory than there is."""
    ERROR = "error"
    """It raised an exception."""
    WORKER = "worker"
    """Its worker was lost, more often than is retried."""


@dataclass
class TrialRecord:
    """One config, one seed, trained once.

    Attributes:
        trial_id: Unique in its study.
        number: Number of its config, from 0; seeds of one config share it.
        variant: Named change from the base config; ``"full"`` where there is none.
        seed: Seed of the trial.
        changes: Dotted fields that differ from the study's base config.
        suggested: What a sampler suggested, before it was rounded to `changes`.
        status: Where it stands.
        reason: Why it ended; None while it has not.
        message: Why, in a sentence; empty where `reason` says it all.
        n_epochs: Epochs reported so far.
        metrics: Last value of each metric.
        seconds: Seconds of work, over all attempts.
        host: Where it last ran.
        n_lost: Number of workers that it lost.
        is_over: Whether its last report was the last by its own rules.
        config_digest: `Config.digest` of its config.
        device: ``"cpu"`` or ``"cuda"``; empty where that is not known.
        n_threads: Number of threads; 0 where that is not known.
        n_slots: Trials at once in its process; 0 where that is not known.
    """

    trial_id: str
    number: int
    variant: str
    seed: int
    changes: Mapping[str, Any]
    suggested: Mapping[str, Any] = field(default_factory=dict)
    status: TrialStatus = TrialStatus.RUNNING
    reason: EndReason | None = None
    message: str = ""
    n_epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    host: str = ""
    n_lost: int = 0
    is_over: bool = False
    config_digest: str = ""
    device: str = ""
    n_threads: int = 0
    n_slots: int = 0

    @property
    def objective(self) -> float:
        """Value of `OBJECTIVE`; minus infinity where it is NaN or none was reported."""
        value = self.metrics.get(OBJECTIVE, math.nan)
        return -math.inf if math.isnan(value) else value


def best_record(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Find the record of best objective; None where none has reported one."""
    reported = [record for record in records if record.objective > -math.inf]
    return max(reported, key=lambda record: record.objective, default=None)


OBJECTIVE = "best_pearson_delta"
"""What studies optimise and `pick` ranks by, larger is better: the best epoch's validation Pearson-delta."""

SYSTEM = (
    "system/cpu_utilization_percentage",
    "system/process_memory_megabytes",
    "system/gpu_memory_megabytes",
    "system/gpu_utilization_percentage",
)
"""What a trial uses of its machine, under names that MLflow shows on its page of system metrics."""

EXPERIMENT = "adapert"
"""The MLflow experiment of every study."""

PER_PERTURBATION_FILE = "metrics_per_perturbation.parquet"
"""Artifact of each finished trial: the long table, in `LONG_COLUMNS`."""

CONFIG_FILE = "config.yaml"
"""Artifact of each trial: its whole config."""

WEIGHTS_FILE = "weights.safetensors"
"""Artifact of each finished trial: the best epoch's weights."""

CODE_DIFF_FILE = "code.diff"
"""Artifact of a study with code that differed from its commit: the patch, cut if very long."""

ORIGIN_FILE = "origin.json"
"""Artifact of a study: fingerprints of the data, code and package versions that it was launched with."""

FAILURE, MESSAGE, DISK = "failure", "message", "disk"
"""Reported in place of an epoch: an `EndReason` and a sentence; `DISK` is the whole study's trouble."""

ERROR_FILE = "error.txt"
"""Artifact of each trial that raised an exception: where."""

HOST = "hostname"
"""Reported with every epoch: where it was trained."""

IS_OVER = "is_over"
"""Reported with every epoch: whether it was the trial's last by its own rules, not by a scheduler's."""


def trained_on(opened: Mapping[str, Any]) -> str:
    """Name the data that an evaluation's models were trained on, from the record of what it opened.

    An evaluation across data sets names them; any other one opened the data of its models.
    """
    return str(opened.get("trained_on", opened.get("data_fingerprint")))


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
    "family",
    "n_unseen_genes",
    "n_cells",
    "n_degs",
    "metric",
    "value",
)


class Tag(StrEnum):
    """Tags of MLflow runs."""

    KIND = "adapert.kind"  # "study" (parent run), "trial" (child run) or "rerun" (of a trial)
    STUDY = "adapert.study"
    QUESTION = "adapert.question"  # on the parent run: what the study was to answer
    DESIGN = "adapert.design"  # "search", "ablation" or "sensitivity", on the parent run
    STATUS = "adapert.status"
    MESSAGE = "adapert.message"
    REASON = "adapert.reason"
    TRIAL = "adapert.trial"
    VARIANT = "variant"
    SEED = "seed"
    CONFIG_DIGEST = "config_digest"
    DATA_FINGERPRINT = "data_fingerprint"
    GIT_COMMIT = "git_commit"
    VERSIONS = "versions"
    DEVICE = "device"
    N_THREADS = "n_threads"
    N_SLOTS = "n_slots"
    HOST = "host"
    ORIGINAL = "adapert.original"  # name of the trial that a rerun repeats: "search/007"
    PICKED_MODEL = "adapert.picked_model"  # on the parent run: address of the model of its picked config
    PICKED_BY = "adapert.picked_by"  # objective of the last pick, then the study that retrained its best
    PICKED_RUNS = "adapert.picked_runs"  # names of the trials that it was made of
    TEST_OPENINGS = "adapert.test_openings"  # on the parent run: number of accesses to the test split
