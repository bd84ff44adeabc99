"""Every metric of a model's predictions for one split."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, SplitName
from adapert.errors import InputError
from adapert.evaluation.catalogue import compute_metrics
from adapert.evaluation.cell_moments import (
    CellMoments,
    cells_by_perturbation,
    measure_moments,
    t_against_rest,
)
from adapert.evaluation.cell_tests import ControlTests
from adapert.evaluation.controls import pooled_offset
from adapert.evaluation.de_metrics import DifferentialExpression
from adapert.evaluation.emission import EmissionName, EmittedCells, clip_cells, emit_cells
from adapert.evaluation.inputs import gather_inputs
from adapert.versions import installed_version

DEFINITIONS = "0.8.2"
"""Version of cell-eval whose definitions are followed; it changed its multiple-testing scope at 0.7.0."""


def versions() -> dict[str, str]:
    """List what takes part in the numbers, to store with every score."""
    packages = {package: installed_version(package) for package in ("adapert", "numpy", "scipy")}
    return packages | {"cell-eval definitions": DEFINITIONS}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What predictions are worth.

    Attributes:
        per_perturbation: Metric to its values, (n_perturbations,) each, in the order of the split's table.
        scalars: Metric to its value over all perturbations.
        emission: How cells were made from predictions; None where the data have no cells, or cells were
            predicted.
        clip_fraction: Share of the cells' values that were below 0 and clipped; None without cells.
        versions: Packages' versions, and that of the definitions that were followed.
    """

    per_perturbation: Mapping[str, FloatArray]
    scalars: Mapping[str, float]
    emission: EmissionName | None
    clip_fraction: float | None
    versions: Mapping[str, str] = field(default_factory=versions)


def evaluate(
    predicted_delta: FloatArray,
    dataset: PreparedDataset,
    split: SplitName,
    *,
    emission: EmissionName = "control_shift",
    generator: np.random.Generator,
    cells: Iterable[FloatArray] | None = None,
) -> Evaluation:
    """Compute every metric of a split's predictions.

    PDS, retrieval and the metrics against the centroid compare with all perturbations of the split: group
    the values afterwards. Metrics of delta are those of `predicted_delta` as it is; metrics of differential
    expression are those of cells emitted from it. Data prepared from responses have no cells, and so no
    metrics of differential expression, none against pooled controls and no `l2_top_1000`.

    `predicted_delta` is in log1p units, (n_perturbations, n_genes), in the order of the split's table; cells
    are emitted as in `adapert.evaluation.emission.emit_cells`. A model that predicts cells gives them as
    `cells`, log1p units, (n_cells, n_genes) for each perturbation, which are clipped at 0 and tested instead.

    Raises:
        InputError: Predictions of another shape than the split, or that are not finite; an unknown way of
            emission.
    """
    table = dataset.splits[split].table
    _check_predictions(predicted_delta, table)
    tested, pooled_deltas, clip_fraction = None, None, None
    if dataset.manifest.kind == "responses":
        # Responses are scores already: what differs from the mean response is the DEG score.
        deg_score = table.delta - table.delta.mean(axis=0)
    else:
        moments = measure_moments(cells_by_perturbation(dataset, split))
        deg_score = t_against_rest(moments)
        if cells is None:
            emitted = emit_cells(predicted_delta, dataset, split, emission, generator)
        else:
            emitted = map(clip_cells, cells)
        tested, clip_fraction = _test_cells(emitted, moments, dataset, table)
        offset = pooled_offset(dataset, table)
        pooled_deltas = predicted_delta + offset, table.delta + offset
    given = gather_inputs(
        dataset,
        table.perturbations,
        predicted_delta=predicted_delta,
        observed_delta=table.delta,
        deg_mask=table.deg_mask,
        deg_score=deg_score,
        pooled_deltas=pooled_deltas,
        cells=tested,
    )
    metrics, scalars = compute_metrics(given)
    way = emission if tested and cells is None else None
    return Evaluation(per_perturbation=metrics, scalars=scalars, emission=way, clip_fraction=clip_fraction)


def _test_cells(
    emitted: Iterable[EmittedCells], moments: CellMoments, dataset: PreparedDataset, table: PerturbationTable
) -> tuple[tuple[DifferentialExpression, DifferentialExpression], float]:
    """Test emitted and real cells against the controls; add the share of emitted values that were clipped."""
    tests, clip_fractions, n_cells = ControlTests(dataset, table), list[float](), list[int]()

    def pass_on() -> Iterator[FloatArray]:  # one perturbation's cells are in memory at a time
        for cells in emitted:
            clip_fractions.append(cells.clip_fraction)
            n_cells.append(len(cells.expression))
            yield cells.expression

    predicted = tests.differential_expression(pass_on())
    # `prepare` tested the real cells already; only their fold changes are missing.
    fold_changes = tests.fold_changes(moments.means)
    observed = DifferentialExpression(log2_fold_change=fold_changes, deg_mask=table.deg_mask)
    return (predicted, observed), float(np.average(clip_fractions, weights=n_cells))


def _check_predictions(predicted_delta: FloatArray, table: PerturbationTable) -> None:
    n_perturbations, n_genes = table.delta.shape
    if predicted_delta.shape != (n_perturbations, n_genes):
        raise InputError(
            f"Predictions must be deltas of {n_perturbations:,} perturbations x {n_genes:,} genes, but their "
            f"shape is {predicted_delta.shape}. Predict the split's perturbations, in its order."
        )
    n_bad = int((~np.isfinite(predicted_delta)).any(axis=1).sum())
    if n_bad:
        raise InputError(
            f"Predicted deltas must be finite, but those of {n_bad:,} of {n_perturbations:,} are not. "
            "The model diverged: lower its learning rate."
        )
