"""Fit models by name, several seeds of those that have chance, and predict what is compared."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from adapert.comparison.plan import ComparisonPlan
from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.regroup import join_splits, without_cells
from adapert.data.schema import FloatArray, IntArray
from adapert.evaluation.predicted_files import FilePrediction
from adapert.models.ensemble import Ensemble
from adapert.models.protocol import PerturbationModel
from adapert.statistics.pairs import ENSEMBLE_SUFFIX as ENSEMBLE_SUFFIX
from adapert.statistics.pairs import FILE_MODEL, LABEL_MARK
from adapert.training.loop import require_finite
from adapert.training.threads import threads

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fitted model and what it predicts.

    Attributes:
        variant: Name of the model or of one of its configs (`name_variants`), or of its ensemble.
        seed: Seed of the fit; 0 for a model without chance, and the first one's for an ensemble.
        config_digest: Digest of its config.
        model: The fitted model; None for predictions of a file.
        predicted_delta: Predictions for the plan's split, log1p units, (n_perturbations, n_genes).
        predicted_cells: The file, where it predicts cells too.
    """

    variant: str
    seed: int
    config_digest: str
    model: PerturbationModel | None
    predicted_delta: FloatArray
    predicted_cells: FilePrediction | None = None


def fit_models(
    plan: ComparisonPlan,
    variants: Mapping[str, Config],
    dataset: PreparedDataset,
    scored: PreparedDataset | None = None,
) -> list[Fitted]:
    """Fit, and predict the plan's perturbations; of its split only their names are read.

    Fits may read the training and validation split.

    Args:
        plan: How they are fitted; which is up to `variants`.
        variants: Name to config, from `adapert.comparison.plan.name_variants`.
        dataset: Data set of all configs.
        scored: Other data with the plan's split, whose genes `dataset` has too; None for `dataset` itself.

    Returns:
        A row a variant and seed, in the order given, each variant's ensemble after its seeds.

    Raises:
        DivergedError: A loss or prediction became NaN or infinite.
    """
    # Without the plan's split, so that no fit can read it by mistake.
    readable = replace(dataset, splits={name: dataset.splits[name] for name in ("train", "validation")})
    joined = join_training(readable, variants.values()) if plan.refit != "train" else None
    if joined is not None:
        _LOGGER.info(
            "Each model is fitted to train, then from scratch to train+validation with what it chose by "
            "validation."
        )
    scored = scored or dataset
    wanted = [str(name) for name in scored.splits[plan.split].table.perturbations]
    genes = _find_genes(scored, dataset)
    fitted = []
    with threads(plan.n_threads):
        for name, config in variants.items():
            digest = config.digest()
            for variant, seed, model in _fit(plan, config, name, readable, joined):
                predicted = model.predict(wanted)[:, genes]
                require_finite(predicted, f"of {variant} seed {seed}")
                row = Fitted(
                    variant=variant, seed=seed, config_digest=digest, model=model, predicted_delta=predicted
                )
                fitted.append(row)
    return fitted


def as_fitted(prediction: FilePrediction) -> Fitted:
    """Give the predictions of a file the place of a fitted model's, as the variant ``"file:NAME"``."""
    return Fitted(
        variant=f"{FILE_MODEL}{LABEL_MARK}{prediction.name}",
        seed=0,
        config_digest="",
        model=None,
        predicted_delta=prediction.predicted_delta,
        predicted_cells=prediction,
    )


def join_training(dataset: PreparedDataset, configs: Iterable[Config]) -> PreparedDataset:
    """Make one training split of training and validation perturbations, and leave no other.

    Args:
        dataset: With both.
        configs: Say whether a model trains on cells; else they are left out, since joined ones are copies.
    """
    parts = [dataset.splits[name] for name in ("train", "validation")]
    if not any(config.reads_training_cells for config in configs):
        parts = [without_cells(part) for part in parts]
    return replace(dataset, splits={"train": join_splits(*parts)})


def mean_predictions(fitted: Sequence[Fitted]) -> dict[str, FloatArray]:
    """Average each variant's predictions over its seeds, (n_perturbations, n_genes) each."""
    by_variant: dict[str, list[FloatArray]] = {}
    for row in fitted:
        by_variant.setdefault(row.variant, []).append(row.predicted_delta)
    return {variant: np.mean(deltas, axis=0) for variant, deltas in by_variant.items()}


def _find_genes(scored: PreparedDataset, dataset: PreparedDataset) -> IntArray | slice:
    """Find the scored genes among those that models predict; a slice where they are the same."""
    if scored is dataset:
        return slice(None)
    number = {name: index for index, name in enumerate(dataset.gene_names.tolist())}
    return np.array([number[name] for name in scored.gene_names.tolist()], dtype=np.int64)


def _fit(
    plan: ComparisonPlan,
    config: Config,
    name: str,
    dataset: PreparedDataset,
    joined: PreparedDataset | None,
) -> Iterator[tuple[str, int, PerturbationModel]]:
    """Fit every seed of a variant; yield name, seed and model, and last the ensemble where one is wanted."""
    has_chance = plan.has_chance(config)
    members = []
    for seed in range(plan.n_seeds if has_chance else 1):
        model = plan.build(config, seed)
        started = time.perf_counter()
        model.fit(dataset)
        if joined is not None:
            model.refit(joined)
        _LOGGER.info(f"{name}{f' seed {seed}' if has_chance else ''}: {time.perf_counter() - started:.1f} s")
        members.append(model)
        yield name, seed, model
    if plan.use_ensembles and has_chance:
        yield f"{name}{ENSEMBLE_SUFFIX}", 0, Ensemble(members)
