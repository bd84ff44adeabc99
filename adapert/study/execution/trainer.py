"""A trial at work: the model that its config names, fitted one epoch a step, whoever executes it.

It is given a path, never data: it maps the prepared training and validation splits into memory and has no
way to the test split's expression.
"""

import errno
import json
import math
import os
import socket
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from adapert.config import Config, build_config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.regroup import redraw
from adapert.data.schema import SplitName
from adapert.data.shipping import ShippedFolder
from adapert.errors import InputError
from adapert.evaluation.catalogue import metrics_at_end
from adapert.evaluation.evaluate import Evaluation
from adapert.evaluation.long_table import build_long_table, write_long_table
from adapert.evaluation.metrics import mean_over_perturbations
from adapert.files import write_whole
from adapert.models.protocol import Fit, PerturbationModel
from adapert.records import (
    DISK,
    ERROR_FILE,
    FAILURE,
    HOST,
    IS_OVER,
    MESSAGE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    EndReason,
)
from adapert.registry import build_model
from adapert.study.execution.memory import NoMemoryError, count_slots, measure_use, take_share
from adapert.training.evaluation import evaluate_model
from adapert.training.fit import begin_fit
from adapert.training.kept import keep_newest, restore_newest
from adapert.training.loop import DivergedError
from adapert.training.threads import set_threads

READABLE_SPLITS: tuple[SplitName, ...] = ("train", "validation")


CHECKPOINT_EVERY = 10
"""Epochs between two checkpoints, unless they take long."""

CHECKPOINT_SECONDS = 60.0
"""Seconds after which the next epoch's end is kept all the same."""


@dataclass(frozen=True)
class TrialSettings:
    """What a study hands to a trial.

    Attributes:
        trial_id: Unique in the study.
        study: Its name.
        variant: Named change from the base config.
        seed: The trial's seed.
        config: The trial's whole config, flat.
        folder: The trial's folder, absolute: checkpoints and results.
        device: ``"cpu"`` or ``"cuda"``.
        n_threads: Number of threads.
        gpu_share: Share of a GPU.
    """

    trial_id: str
    study: str
    variant: str
    seed: int
    config: Mapping[str, Any]
    folder: str
    device: str = "cpu"
    n_threads: int = 1
    gpu_share: float = 0.0

    def to_text(self) -> str:
        """Put all into one string: Ray Tune copies what a trial is given many times over."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "TrialSettings":
        """Read what `to_text` wrote."""
        return cls(**json.loads(text))


class TrialTrainer:
    """Fit the model that a trial's config names, one epoch a step; a reused trainer equals a fresh one.

    A trial that left a checkpoint in its folder resumes from it. Whatever goes wrong in a trial is reported
    in place of an epoch (`adapert.records.FAILURE`), so that only a lost worker looks like one.
    """

    def __init__(self, shipped: ShippedFolder | None = None) -> None:
        """Make a trainer, which takes trials one after the other.

        Args:
            shipped: The prepared data set, for nodes that do not see its path.
        """
        self._prepared: PreparedDataset | None = None
        self._shipped = shipped

    def take(self, settings: TrialSettings) -> None:
        """Take a trial in place of the last one."""
        # Built in its first step: an error while an actor is made would reach the study without its cause.
        self._settings = settings
        self._fit: Fit | None = None
        self._model: PerturbationModel | None = None
        self._is_ready = False

    def leave(self) -> None:
        """Let go of the trial, and of the memory that it takes."""
        self._fit = self._model = None

    def count_slots(self) -> int:
        """Count the trials that find a place in this process, each of what this one took in its epoch."""
        return count_slots(self._device, self._settings.gpu_share)

    def get_ready(self) -> Fit:
        """Build what the next epoch starts from, and keep a checkpoint where one is due.

        Raises:
            Exception: Whatever goes wrong; `step` would report it.
        """
        fit = self._begin()
        if not self._is_ready:
            self._keep_checkpoint(fit)
            self._is_ready = True
        return fit

    def step(self) -> dict[str, Any]:
        """Train one epoch; after the last one, leave the trial's results in its folder.

        Raises:
            NoMemoryError: Others use the memory that the trial was promised; the study tries again.
        """
        try:
            fit = self.get_ready()
            self._is_ready = False
            return self._train_epoch(fit)
        except NoMemoryError:
            raise
        except Exception as error:
            self._fit = None
            return describe_failure(error, Path(self._settings.folder))

    def _train_epoch(self, fit: Fit) -> dict[str, Any]:
        report = fit.step()
        self._epoch = int(report["epoch"])
        if fit.is_over:
            fit.finish()
            report |= self._write_results(fit)
        return report | measure_use(self._device) | {IS_OVER: fit.is_over, HOST: socket.gethostname()}

    def _begin(self) -> Fit:
        if self._fit is None:
            settings = self._settings
            self._device = torch.device(settings.device)
            set_threads(settings.n_threads)
            take_share(self._device, settings.gpu_share)
            config = build_config(settings.config)
            self._dataset = self._read_dataset(config)
            self._model = build_model(config, settings.seed, self._device)
            self._fit = begin_fit(self._model, self._dataset)
            self._epoch = restore_newest(self._fit, Path(settings.folder))
            self._kept_epoch, self._kept_time = self._epoch, time.monotonic()
            self._identity = {
                "run": f"{settings.study}/{settings.trial_id}",
                "study": settings.study,
                "variant": settings.variant,
                "config_digest": config.digest(),
                "seed": settings.seed,
            }
        return self._fit

    def _read_dataset(self, config: Config) -> PreparedDataset:
        """Map the prepared data set, unless it is mapped, and redraw its splits as the config says."""
        path = Path(config.data.path)
        if self._shipped is not None and not path.exists():
            path = self._shipped.unpack(config.data.fingerprint)
        if self._prepared is None or self._prepared.path != path:
            self._prepared = read_prepared(path, READABLE_SPLITS)
        return redraw(self._prepared, config.data.split_seed, config.reads_training_cells)

    def _keep_checkpoint(self, fit: Fit) -> None:
        # Before an epoch, not after one: all that a checkpoint holds has then reached the study's ledger.
        is_due = self._epoch - self._kept_epoch >= CHECKPOINT_EVERY
        is_late = self._epoch > self._kept_epoch and time.monotonic() - self._kept_time >= CHECKPOINT_SECONDS
        if is_due or is_late:
            keep_newest(fit, self._epoch, Path(self._settings.folder))
            self._kept_epoch, self._kept_time = self._epoch, time.monotonic()

    def _write_results(self, fit: Fit) -> dict[str, float]:
        """Leave weights and the long table in the trial's folder, and return what is tracked of them."""
        folder = Path(self._settings.folder)
        fit.write_weights(folder / WEIGHTS_FILE)
        assert self._model is not None  # a fit has its model
        evaluation = evaluate_model(self._model, self._dataset, "validation", self._settings.seed)
        long = build_long_table(self._identity, self._dataset, "validation", evaluation.per_perturbation)
        write_long_table(long, folder / PER_PERTURBATION_FILE)
        return tracked_metrics(evaluation)


def describe_failure(error: Exception, folder: Path) -> dict[str, Any]:
    """Say in a report why a trial failed, and leave the traceback in its folder.

    Returns:
        An `EndReason`, or `DISK`, under `FAILURE`; a sentence under `MESSAGE`.
    """
    reason = _reason(error)
    if reason == EndReason.ERROR:
        with suppress(OSError, InputError):
            write_whole(folder / ERROR_FILE, "".join(traceback.format_exception(error)))
    message = str(error) or type(error).__name__
    if not isinstance(error, InputError | DivergedError):
        message = f"{type(error).__name__}: {message}"
    return {FAILURE: str(reason), MESSAGE: message.strip().splitlines()[0]}


def _reason(error: BaseException | None) -> str:
    if isinstance(error, DivergedError):
        return EndReason.DIVERGED
    # safetensors wraps the system's error into its own words.
    is_full = any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))
    if is_full or (isinstance(error, InputError) and isinstance(error.__cause__, OSError)):
        return DISK
    # torch has no error of its own for the CPU's memory.
    is_cpu_full = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    if is_cpu_full or isinstance(error, MemoryError | torch.OutOfMemoryError):
        return EndReason.MEMORY
    return EndReason.ERROR


def tracked_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Name the values of `metrics_at_end` as a tracker has them; those without a value are left out."""
    per_perturbation = evaluation.per_perturbation.items()
    means = {name: mean_over_perturbations(values) for name, values in per_perturbation}
    values = means | dict(evaluation.scalars)
    names = metrics_at_end()
    return {f"best_{name}": values[name] for name in names if not math.isnan(values.get(name, math.nan))}
