"""The one thing that Ray runs: a trial as a class Trainable, an epoch a step.

The actor is given a path, never data: it maps the prepared training and validation splits into memory
and has no way to the test split's expression.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ray import tune

from adapert.config import Config, build_config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.schema import SplitName
from adapert.evaluation.metrics import cheap_metrics
from adapert.files import whole_file
from adapert.records import IS_OVER, LONG_COLUMNS, PER_PERTURBATION_FILE, WEIGHTS_FILE
from adapert.training.checkpoints import restore_checkpoint, write_checkpoint, write_weights
from adapert.training.loop import EpochReport, train
from adapert.training.state import Training

READABLE_SPLITS: tuple[SplitName, ...] = ("train", "validation")


def trial_config(settings: Mapping[str, Any]) -> tuple[Config, str, int]:
    """Read what Tune hands to a trial.

    Args:
        settings: ``base`` (flat config), ``study``, ``trial_folder``, ``device``, ``n_threads``;
            ``assignment`` (variant, seed, changes); and what a searcher suggests, each under its dotted
            field.

    Returns:
        The trial's whole config, its variant and its seed.
    """
    assignment = settings["assignment"]
    suggested = {name: round_suggestion(value) for name, value in settings.items() if "." in name}
    config = build_config(settings["base"] | assignment["changes"] | suggested)
    return config, assignment["variant"], assignment["seed"]


def round_suggestion(value: Any) -> Any:
    """Keep four significant digits of a suggested number, so that people can read and retype a config."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


class AdaPertTrainable(tune.Trainable):  # type: ignore[misc]
    """Train AdaPert, one epoch a step; a reused actor equals a fresh one."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take a fresh actor's first trial."""
        self._dataset: PreparedDataset | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial in this actor."""
        # Built in its first step: an error while an actor is made would reach the study without its cause.
        self._settings = new_config
        self._training: Training | None = None
        return True

    def step(self) -> dict[str, float | bool]:
        """Train one epoch; after the last one, leave the trial's results in its folder."""
        training = self._begin()
        report = next(self._epochs)
        is_over = training.is_over
        if is_over:
            self._write_results(training)
        resolved = training.resolved.flat() if report.epoch == 1 else {}
        return report.flat() | resolved | {IS_OVER: is_over, "done": is_over}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write all that the next epoch depends on."""
        write_checkpoint(self._begin(), Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Go on from a checkpoint."""
        restore_checkpoint(self._begin(), Path(checkpoint_dir))

    def _begin(self) -> Training:
        if self._training is None:
            torch.set_num_threads(self._settings["n_threads"])
            config, self._variant, self._seed = trial_config(self._settings)
            path = Path(config.data.path)
            if self._dataset is None or self._dataset.path != path:
                self._dataset = read_prepared(path, READABLE_SPLITS)
            device = torch.device(self._settings["device"])
            self._training = Training(config, self._dataset, self._seed, device)
            self._epochs: Iterator[EpochReport] = train(self._training)
        return self._training

    def _write_results(self, training: Training) -> None:
        folder = Path(self._settings["trial_folder"]) / self.trial_id
        if training.best.weights:
            training.model.load_state_dict(training.best.weights)
            write_weights(training.best.weights, folder / WEIGHTS_FILE)
        identity = {
            "run": self.trial_id,
            "study": self._settings["study"],
            "variant": self._variant,
            "config_digest": training.config.digest(),
            "seed": self._seed,
        }
        write_per_perturbation(training, identity, folder / PER_PERTURBATION_FILE)


def write_per_perturbation(training: Training, identity: Mapping[str, Any], path: Path) -> None:
    """Write the validation perturbations' metrics as a long table, a row a perturbation and metric.

    Args:
        training: With the weights to evaluate.
        identity: The columns that say whose values these are.
        path: Parquet file.
    """
    table = training.dataset.splits["validation"].table
    predicted = training.predict(list(table.perturbations))
    metrics = cheap_metrics(predicted, table.delta, table.deg_mask)
    perturbations = pd.DataFrame(
        {
            **identity,
            "split_seed": training.dataset.manifest["split_seed"],
            "split": "validation",
            "perturbation": table.perturbations,
            "effect_size": table.effect_size,
            "n_cells": table.n_cells,
            "n_degs": table.n_degs,
            **metrics,
        }
    )
    fixed = [column for column in LONG_COLUMNS if column not in ("metric", "value")]
    long = perturbations.melt(fixed, list(metrics), "metric", "value")
    with whole_file(path) as beside:
        long.to_parquet(beside, index=False)
