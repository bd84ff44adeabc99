"""Evaluate a fitted model: predict a split's perturbations, and compute every metric of the predictions."""

from collections.abc import Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, SplitName
from adapert.evaluation.emission import EmissionName
from adapert.evaluation.evaluate import Evaluation, evaluate
from adapert.models.protocol import PerturbationModel
from adapert.seeding import numpy_generator
from adapert.training.loop import DivergedError


def evaluate_model(
    model: PerturbationModel,
    dataset: PreparedDataset,
    split: SplitName,
    seed: int,
    emission: EmissionName = "control_shift",
) -> Evaluation:
    """Compute every metric of a fitted model's predictions.

    The seed is that of the emitted cells, so that models of one seed are compared on the same draws.

    Raises:
        DivergedError: A prediction is NaN or infinite.
    """
    predicted = predict_finite(model, [str(name) for name in dataset.splits[split].table.perturbations])
    return evaluate(predicted, dataset, split, emission=emission, generator=emission_generator(seed))


def predict_finite(model: PerturbationModel, perturbations: Sequence[str], name: str = "") -> FloatArray:
    """Predict deltas, log1p units, (n_perturbations, n_genes), and refuse what is no number.

    Raises:
        DivergedError: A prediction is NaN or infinite.
    """
    predicted = model.predict(perturbations)
    n_bad = int((~np.isfinite(predicted)).any(axis=1).sum())
    if n_bad:
        source = f" of {name}" if name else ""
        raise DivergedError(
            f"Predictions must stay finite, but those{source} for {n_bad:,} of {len(perturbations):,} "
            "perturbations are not. Lower training.learning_rate."
        )
    return predicted


def emission_generator(seed: int) -> np.random.Generator:
    """Make the generator that draws the emitted cells of a fit."""
    return numpy_generator(seed, "emission")
