"""Evaluate what models predict, and the experiment against itself."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from adapert.comparison.fit import Fitted, fit_models
from adapert.comparison.plan import ComparisonPlan, name_variants
from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.evaluate import Evaluation, evaluate
from adapert.evaluation.reproducibility import REPLICATES, reproducibility
from adapert.models.protocol import PerturbationModel
from adapert.seeding import numpy_generator
from adapert.training.evaluation import emission_generator

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A row of the comparison.

    Attributes:
        variant: Name of the model or of one of its configs, of its ensemble, or of a ceiling.
        seed: Seed of the fit; 0 for a model without chance, and the first one's for an ensemble.
        config_digest: Digest of its config; empty for a file of predictions and a ceiling.
        model: The fitted model; None for a file of predictions, and for a ceiling, which no model predicts.
        evaluation: What its predictions of the split are worth.
    """

    variant: str
    seed: int
    config_digest: str
    model: PerturbationModel | None
    evaluation: Evaluation


def compare(plan: ComparisonPlan, config: Config, dataset: PreparedDataset) -> list[Scored]:
    """Fit the models of one config and evaluate: `fit_models`, then `score`, whose arguments these are."""
    return score(plan, fit_models(plan, name_variants(plan.names([config]), {"": config}), dataset), dataset)


def score(plan: ComparisonPlan, fitted: Sequence[Fitted], dataset: PreparedDataset) -> list[Scored]:
    """Evaluate predictions, on the same draws of cells for each model; this reads the plan's split."""
    return [
        Scored(
            variant=row.variant,
            seed=row.seed,
            config_digest=row.config_digest,
            model=row.model,
            evaluation=evaluate(
                row.predicted_delta,
                dataset,
                plan.split,
                emission=plan.emission,
                generator=emission_generator(row.seed),
                cells=None if row.predicted_cells is None else row.predicted_cells.cells(),
            ),
        )
        for row in fitted
    ]


def measure_ceilings(plan: ComparisonPlan, dataset: PreparedDataset) -> list[Scored]:
    """Score the experiment against itself, in each way that the data allow.

    Returns:
        A row a way; none where the data have no cells.
    """
    rows = []
    for name in REPLICATES if dataset.manifest.kind == "cells" else ():
        started = time.perf_counter()
        generator = numpy_generator(0, name)
        try:
            evaluation = reproducibility(dataset, plan.split, replicates=name, generator=generator)
        except InputError as error:
            _LOGGER.info(f"{name} is left out: {error}")
            continue
        _LOGGER.info(f"{name}: {time.perf_counter() - started:.1f} s")
        rows.append(Scored(variant=name, seed=0, config_digest="", model=None, evaluation=evaluation))
    return rows
