"""The one thing that Ray runs: a trial as a class Trainable, an epoch a step.

The actor is given a path, never data: it maps the prepared training and validation splits into memory
and has no way to the test split's expression.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ray import tune

from adapert.comparison import evaluate_model
from adapert.config import Config, build_config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.schema import SplitName
from adapert.evaluation.evaluate import Evaluation
from adapert.evaluation.metrics import mean_over_perturbations
from adapert.long_table import build_long_table, write_long_table
from adapert.models.protocol import Fit
from adapert.records import EVALUATED, IS_OVER, PER_PERTURBATION_FILE, WEIGHTS_FILE
from adapert.registry import build_model
from adapert.training.fit import begin_fit

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


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Fit the model that a trial's config names, one epoch a step; a reused actor equals a fresh one."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take a fresh actor's first trial."""
        self._dataset: PreparedDataset | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial in this actor."""
        # Built in its first step: an error while an actor is made would reach the study without its cause.
        self._settings = new_config
        self._fit: Fit | None = None
        return True

    def step(self) -> dict[str, float | bool]:
        """Train one epoch; after the last one, leave the trial's results in its folder."""
        fit = self._begin()
        report = fit.step()
        if fit.is_over:
            fit.finish()
            report |= self._write_results(fit)
        return report | {IS_OVER: fit.is_over, "done": fit.is_over}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write all that the next epoch depends on."""
        self._begin().write_checkpoint(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Go on from a checkpoint."""
        self._begin().restore_checkpoint(Path(checkpoint_dir))

    def _begin(self) -> Fit:
        if self._fit is None:
            torch.set_num_threads(self._settings["n_threads"])
            config, variant, seed = trial_config(self._settings)
            path = Path(config.data.path)
            if self._dataset is None or self._dataset.path != path:
                self._dataset = read_prepared(path, READABLE_SPLITS)
            self._model = build_model(config, seed, torch.device(self._settings["device"]))
            self._fit = begin_fit(self._model, self._dataset)
            self._identity = {
                "run": self.trial_id,
                "study": self._settings["study"],
                "variant": variant,
                "config_digest": config.digest(),
                "seed": seed,
            }
        return self._fit

    def _write_results(self, fit: Fit) -> dict[str, float]:
        """Leave weights and the long table in the trial's folder, and return what is tracked of them."""
        assert self._dataset is not None
        folder = Path(self._settings["trial_folder"]) / self.trial_id
        fit.write_weights(folder / WEIGHTS_FILE)
        evaluation = evaluate_model(self._model, self._dataset, "validation", self._identity["seed"])
        long = build_long_table(self._identity, self._dataset, "validation", evaluation.per_perturbation)
        write_long_table(long, folder / PER_PERTURBATION_FILE)
        return tracked_metrics(evaluation)


def tracked_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Name the means and scalars of `EVALUATED` as a tracker has them; those without a value are left out."""
    per_perturbation = evaluation.per_perturbation.items()
    means = {name: mean_over_perturbations(values) for name, values in per_perturbation}
    values = means | dict(evaluation.scalars)
    return {f"best_{name}": values[name] for name in EVALUATED if not math.isnan(values.get(name, math.nan))}
