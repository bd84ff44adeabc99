"""Evaluate a fitted model: predict a split's perturbations, and compute every metric of the predictions."""

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SplitName
from adapert.evaluation.evaluate import Evaluation, evaluate
from adapert.models.protocol import PerturbationModel
from adapert.seeding import numpy_generator
from adapert.training.loop import require_finite


def evaluate_model(
    model: PerturbationModel, dataset: PreparedDataset, split: SplitName, seed: int
) -> Evaluation:
    """Compute every metric of a fitted model's predictions.

    The seed is that of the emitted cells, so that models of one seed are compared on the same draws.

    Raises:
        DivergedError: A prediction is NaN or infinite.
    """
    predicted = model.predict(dataset.splits[split].table.perturbations.tolist())
    require_finite(predicted, f"on the {split} split")
    return evaluate(predicted, dataset, split, generator=emission_generator(seed))


def emission_generator(seed: int) -> np.random.Generator:
    """Make the generator that draws the emitted cells of a fit."""
    return numpy_generator(seed, "emission")
