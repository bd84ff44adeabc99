"""Fit models by name, several seeds of those that have chance, and evaluate them all on one split."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SplitName
from adapert.errors import InputError, nearest
from adapert.evaluation.emission import EMISSIONS, EmissionName
from adapert.evaluation.emitted_files import write_emitted_pair
from adapert.evaluation.evaluate import Evaluation, evaluate
from adapert.evaluation.reproducibility import REPLICATES, reproducibility
from adapert.long_table import build_long_table
from adapert.models.ensemble import Ensemble
from adapert.models.protocol import PerturbationModel
from adapert.registry import MODELS, build_model
from adapert.seeding import numpy_generator

ENSEMBLE_SUFFIX = "_ensemble"

STUDY = "evaluate"
"""What the long table has in place of a study's name."""

Note = Callable[[str], None]
"""Takes a line on what was just done."""


@dataclass(frozen=True, kw_only=True)
class ComparisonPlan:
    """What is compared, and how.

    Attributes:
        models: Names in the registry.
        split: Whose perturbations are predicted.
        n_seeds: Seeds 0, 1, ... of each model that has chance.
        use_ensembles: Whether the mean prediction of a model's seeds is compared too.
        emission: How cells are made from predictions, for metrics that test cells.
        device: Where models are trained.

    Raises:
        InputError: An unknown model or way of emission, no model, an ensemble of one seed, or ensembles of
            models without chance.
    """

    models: Sequence[str] = tuple(MODELS)
    split: SplitName
    n_seeds: int = 3
    use_ensembles: bool = False
    emission: EmissionName = "control_shift"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError(f"A comparison needs a model. Models are {', '.join(MODELS)}.")
        _check_known("model", self.models, tuple(MODELS))
        _check_known("way of emission", [self.emission], tuple(EMISSIONS))
        if self.use_ensembles and self.n_seeds < 2:
            raise InputError(
                "An ensemble is the mean of several seeds, but --seeds is 1. Give --seeds 2 or more."
            )
        if self.use_ensembles and not any(self.has_chance(name) for name in self.models):
            raise InputError(
                "An ensemble is the mean of several seeds, but no seed changes "
                f"{', '.join(self.models)}. Leave --ensemble out, or add adapert to --models."
            )

    def has_chance(self, name: str) -> bool:
        """Whether a model's fits differ by seed."""
        return self.build(Config(), name, seed=0).is_seeded

    def build(self, config: Config, name: str, seed: int) -> PerturbationModel:
        """Build an untrained model."""
        return build_model(config.with_changes({"model.name": name}), seed, torch.device(self.device))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A row of the comparison.

    Attributes:
        variant: Name of the model, of its ensemble, or of a ceiling.
        seed: Of the fit; 0 for a model without chance, and the first one's for an ensemble.
        config_digest: Of the config that names the model; empty for a ceiling.
        model: Fitted; None for a ceiling, which no model predicts.
        evaluation: What its predictions of the split are worth.
    """

    variant: str
    seed: int
    config_digest: str
    model: PerturbationModel | None
    evaluation: Evaluation


def compare(plan: ComparisonPlan, config: Config, dataset: PreparedDataset, note: Note) -> list[Scored]:
    """Fit and evaluate.

    Args:
        plan: What is compared.
        config: Of AdaPert; reference models read no setting of it.
        dataset: With training and validation split, which fits may read, and the plan's, which they cannot.
        note: Told of each fit.

    Returns:
        A row a model and seed, in the plan's order, each model's ensemble after its seeds.

    Raises:
        DivergedError: A loss or prediction became NaN or infinite.
    """
    readable = replace(dataset, splits={name: dataset.splits[name] for name in ("train", "validation")})
    scored = []
    for name in dict.fromkeys(plan.models):
        digest = config.with_changes({"model.name": name}).digest()
        for variant, seed, model in _fit(plan, config, name, readable, note):
            evaluation = evaluate_model(model, dataset, plan.split, seed, plan.emission)
            scored.append(
                Scored(variant=variant, seed=seed, config_digest=digest, model=model, evaluation=evaluation)
            )
    return scored


def measure_ceilings(plan: ComparisonPlan, dataset: PreparedDataset, note: Note) -> list[Scored]:
    """Score the experiment against itself, in each way that the data allow.

    Args:
        plan: What is compared.
        dataset: With the plan's split.
        note: Told of each ceiling, or why it is left out.

    Returns:
        A row a way; none where the data have no cells.
    """
    rows = []
    for name in REPLICATES if dataset.manifest["kind"] == "cells" else ():
        started = time.perf_counter()
        generator = numpy_generator(0, name)
        try:
            evaluation = reproducibility(dataset, plan.split, replicates=name, generator=generator)
        except InputError as error:
            note(f"{name} is left out: {error}")
            continue
        note(f"{name}: {time.perf_counter() - started:.1f} s")
        rows.append(Scored(variant=name, seed=0, config_digest="", model=None, evaluation=evaluation))
    return rows


def _fit(
    plan: ComparisonPlan, config: Config, name: str, dataset: PreparedDataset, note: Note
) -> Iterator[tuple[str, int, PerturbationModel]]:
    """Fit every seed of a model; yield name, seed and model, and last the ensemble where one is wanted."""
    has_chance = plan.has_chance(name)
    members = []
    for seed in range(plan.n_seeds if has_chance else 1):
        model = plan.build(config, name, seed)
        started = time.perf_counter()
        model.fit(dataset)
        note(f"{name}{f' seed {seed}' if has_chance else ''}: {time.perf_counter() - started:.1f} s")
        members.append(model)
        yield name, seed, model
    if plan.use_ensembles and has_chance:
        yield f"{name}{ENSEMBLE_SUFFIX}", 0, Ensemble(members)


def evaluate_model(
    model: PerturbationModel,
    dataset: PreparedDataset,
    split: SplitName,
    seed: int,
    emission: EmissionName = "control_shift",
) -> Evaluation:
    """Compute every metric of a fitted model's predictions.

    Args:
        model: Fitted.
        dataset: With the split.
        split: Which perturbations.
        seed: Of the emitted cells; models are compared on the same draws.
        emission: How cells are made from predictions.
    """
    predicted = model.predict(list(dataset.splits[split].table.perturbations))
    return evaluate(predicted, dataset, split, emission=emission, generator=_emission_generator(seed))


def build_comparison_table(
    scored: Sequence[Scored], dataset: PreparedDataset, split: SplitName
) -> pd.DataFrame:
    """Lay out every row's metrics below each other, in `LONG_COLUMNS`."""
    tables = []
    for row in scored:
        identity = {
            "run": f"{row.variant} seed {row.seed}",
            "study": STUDY,
            "variant": row.variant,
            "config_digest": row.config_digest,
            "seed": row.seed,
        }
        tables.append(build_long_table(identity, dataset, split, row.evaluation.per_perturbation))
    return pd.concat(tables, ignore_index=True)


def describe_comparison(
    plan: ComparisonPlan, config: Config, dataset: PreparedDataset, scored: Sequence[Scored]
) -> dict[str, Any]:
    """List what was opened and how it was scored, in words and numbers that JSON can hold."""
    first = scored[0].evaluation
    return {
        "opened": {
            "split": plan.split,
            "n_perturbations": len(dataset.splits[plan.split].table.perturbations),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "data_fingerprint": dataset.fingerprint,
        },
        "config": config.flat(),
        "emission": first.emission,
        "versions": dict(first.versions),
        "models": [
            {
                "variant": row.variant,
                "seed": row.seed,
                "config_digest": row.config_digest,
                "clip_fraction": row.evaluation.clip_fraction,
                # JSON has no NaN.
                **{name: None if np.isnan(v) else v for name, v in row.evaluation.scalars.items()},
            }
            for row in scored
        ],
    }


def new_folder(workspace: Path, split: str) -> Path:
    """Name the next free folder of a workspace for a comparison on a split."""
    folder = workspace / "evaluations"
    numbered = (folder / f"{split}_{number:03d}" for number in count(1))
    return next(path for path in numbered if not path.exists())


def check_emitted(plan: ComparisonPlan, dataset: PreparedDataset, files: tuple[Path, Path]) -> None:
    """Refuse to emit what is not one prediction of cells, before any model is fitted.

    Raises:
        InputError: Responses, several predictions, the same file twice, or a file that exists.
    """
    n_models = len(set(plan.models))
    if dataset.manifest["kind"] == "responses":
        raise InputError(
            "--emit writes cells, but the data set was prepared from responses. Leave it out, or name a data "
            "set of cells."
        )
    if n_models > 1:
        raise InputError(f"--emit writes one model's cells, but --models names {n_models}. Name one of them.")
    if plan.n_seeds > 1 and plan.has_chance(plan.models[0]) and not plan.use_ensembles:
        raise InputError(
            f"--emit writes one prediction, but --seeds is {plan.n_seeds}. Give --seeds 1, or --ensemble to "
            "emit the seeds' mean."
        )
    if files[0].absolute() == files[1].absolute():
        raise InputError(f"--emit needs two files, predicted and real, but both are '{files[0]}'.")
    for path in files:
        if path.exists():
            raise InputError(f"Emitted cells go into new files, but '{path}' exists. Name another.")


def write_emitted(
    model: PerturbationModel,
    seed: int,
    plan: ComparisonPlan,
    dataset: PreparedDataset,
    files: tuple[Path, Path],
) -> None:
    """Write the cells that a model was scored by, and the observed ones, as .h5ad files.

    Args:
        model: Fitted.
        seed: Of its row.
        plan: Names split and emission.
        dataset: With the split.
        files: For predicted and observed cells.
    """
    write_emitted_pair(
        model.predict(list(dataset.splits[plan.split].table.perturbations)),
        dataset,
        plan.split,
        predicted_file=files[0],
        real_file=files[1],
        emission=plan.emission,
        generator=_emission_generator(seed),
    )


def _emission_generator(seed: int) -> np.random.Generator:
    return numpy_generator(seed, "emission")


def _check_known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"There is no {what} '{name}'.{nearest(name, known)} Known are {', '.join(known)}."
            )
