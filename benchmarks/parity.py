"""Largest differences between the metrics here and those of cell-eval 0.8.2 on pdex 0.3.0.

    python -m benchmarks parity

Needs ``pip install ".[parity]"``; the real cells are left out where they are not at hand.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.differential import call_degs, mann_whitney, sort_controls, sum_cells
from adapert.data.schema import GENE_SEPARATOR, BoolArray, FloatArray, IntArray, StringArray
from adapert.evaluation.catalogue import METRICS, compute_metrics
from adapert.evaluation.de_metrics import DifferentialExpression, log2_fold_change
from benchmarks.measurement import Measurement

CONTROL = "non-targeting"

COUNTERPARTS = {name: metric.cell_eval for name, metric in METRICS.items() if metric.cell_eval} | {
    "n_true_degs": "de_nsig_counts_real"
}
"""Metric here to metric there."""

OVERLAPS = {"overlap_at_50": 50, "overlap_at_100": 100, "overlap_at_N": None}

SLOW = ["pearson_edistance", "clustering_agreement"]
"""Metrics of cell-eval that have no counterpart here."""

TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Case:
    """Cells that both score.

    Attributes:
        name: What is particular about them.
        gene_names: (n_genes,).
        labels: Perturbation or `CONTROL` of each cell, (n_cells,).
        real: log1p units, (n_cells, n_genes).
        predicted: As `real`; its controls are the real ones.
    """

    name: str
    gene_names: StringArray
    labels: StringArray
    real: FloatArray
    predicted: FloatArray

    @property
    def perturbations(self) -> StringArray:
        """Sorted names, (n_perturbations,)."""
        return np.setdiff1d(self.labels, [CONTROL])

    @property
    def target_mask(self) -> BoolArray:
        """Genes that cell-eval leaves out of PDS: those named as the perturbation, so none of a pair."""
        mask: BoolArray = self.perturbations[:, None] == self.gene_names
        return mask


def own_values(case: Case) -> dict[str, FloatArray]:
    """Score a case here: metric to (n_perturbations,), a scalar repeated."""
    predicted, observed = (_test(case, cells) for cells in (case.predicted, case.real))
    deltas = [_deltas(case, cells) for cells in (case.predicted, case.real)]
    given = {
        "predicted_delta": deltas[0],
        "observed_delta": deltas[1],
        "predicted_pooled_delta": deltas[0],
        "observed_pooled_delta": deltas[1],
        "target_mask": case.target_mask,
        "predicted_cells": predicted,
        "observed_cells": observed,
    }
    by_perturbation, scalars = compute_metrics(given, COUNTERPARTS)
    repeated = {name: np.full(len(case.perturbations), value) for name, value in scalars.items()}
    return by_perturbation | repeated | {"n_true_degs": observed.n_degs.astype(float)}


def cell_eval_values(case: Case) -> dict[str, FloatArray]:
    """Score a case by cell-eval: as `own_values`; NaN where it gives no value."""
    from cell_eval import MetricsEvaluator

    with tempfile.TemporaryDirectory() as directory:
        evaluator = MetricsEvaluator(
            adata_pred=_annotated(case, case.predicted),
            adata_real=_annotated(case, case.real),
            control_pert=CONTROL,
            pert_col="target_gene",
            num_threads=1,
            outdir=directory,
        )
        results, _ = evaluator.compute(skip_metrics=SLOW, write_csv=False, break_on_error=True)
    frame = results.to_pandas().set_index("perturbation")
    frame = frame.reindex(index=case.perturbations, columns=list(COUNTERPARTS.values()))
    return {own: frame[theirs].to_numpy(dtype=float) for own, theirs in COUNTERPARTS.items()}


def differences(case: Case) -> dict[str, float]:
    """Largest absolute difference of each metric; infinite where only one side has a value.

    An overlap is left out where the k-th gene ties with the next, as genes of infinite fold change do:
    cell-eval's choice among these depends on their number, not on the genes.
    """
    own, theirs = own_values(case), cell_eval_values(case)
    for name, k in OVERLAPS.items():
        own[name][ties_at_k(case, k)] = theirs[name][ties_at_k(case, k)] = np.nan
    return {name: _largest_difference(own[name], theirs[name]) for name in COUNTERPARTS}


def ties_at_k(case: Case, k: int | None) -> BoolArray:
    """Whether the k-th strongest DEG ties with the next, on either side, (n_perturbations,)."""
    predicted, observed = (_test(case, cells) for cells in (case.predicted, case.real))
    n_kept = observed.n_degs if k is None else np.minimum(observed.n_degs, k)
    return _ties_after(observed, n_kept) | _ties_after(predicted, n_kept)


def random_case(seed: int, n_perturbations: int, n_genes: int, n_cells: int, n_controls: int) -> Case:
    """Draw counts with effects of different size, and predictions that are partly right.

    Perturbation 0 does nothing and perturbation 1 is a combination; gene 0 is never expressed, gene 1 in
    no control, and gene 2 in no perturbed cell.
    """
    generator = np.random.default_rng(seed)
    genes = np.array([f"G{number:03d}" for number in range(n_genes)])
    names = genes[:n_perturbations].astype(object)
    names[1] = GENE_SEPARATOR.join(genes[1:3])
    baseline = generator.gamma(0.7, 2.0, n_genes)
    size = np.linspace(0, 1, n_perturbations)[:, None]
    effect = size * generator.normal(0, 1.2, (n_perturbations, n_genes)) * (baseline > 0.5)
    guess = 0.6 * effect + 0.3 * size * generator.normal(0, 1, effect.shape)
    controls = generator.poisson(baseline, (n_controls, n_genes))
    sides = []
    for log_change in (effect, guess):
        cells = [generator.poisson(baseline * np.exp(row), (n_cells, n_genes)) for row in log_change]
        counts = np.concatenate([controls, *cells])
        counts[:, 0] = 0
        counts[:n_controls, 1] = 0
        counts[n_controls:, 2] = 0
        sides.append(np.log1p(counts * 0.7))
    labels = np.repeat([CONTROL, *names], [n_controls, *[n_cells] * n_perturbations])
    return Case(
        name=f"random, {n_perturbations} x {n_genes}, seed {seed}",
        gene_names=genes,
        labels=labels.astype(str),
        real=sides[0],
        predicted=sides[1],
    )


def constant_case(seed: int, n_perturbations: int, n_genes: int, n_cells: int) -> Case:
    """Predict the same cells, a mean profile repeated, for every perturbation."""
    case = random_case(seed, n_perturbations, n_genes, n_cells, n_cells)
    predicted = case.real.copy()
    is_control = case.labels == CONTROL
    predicted[~is_control] = case.real[~is_control].mean(axis=0)
    return replace(case, name=f"constant prediction, {n_perturbations} x {n_genes}", predicted=predicted)


def no_change_case(seed: int, n_perturbations: int, n_genes: int, n_cells: int) -> Case:
    """Predict the control cells themselves: no delta, no DEG."""
    case = random_case(seed, n_perturbations, n_genes, n_cells, n_cells)
    controls = case.real[case.labels == CONTROL]
    return replace(
        case,
        name=f"no change, {n_perturbations} x {n_genes}",
        predicted=np.tile(controls, (n_perturbations + 1, 1)),
    )


def nothing_true_case(seed: int, n_perturbations: int, n_genes: int, n_cells: int) -> Case:
    """Observe control cells, drawn again, in every perturbation: none has a true DEG."""
    case = random_case(seed, n_perturbations, n_genes, n_cells, n_cells)
    drawn = np.random.default_rng(seed).integers(n_cells, size=n_perturbations * n_cells)
    controls = case.real[case.labels == CONTROL]
    return replace(
        case,
        name=f"no true DEG, {n_perturbations} x {n_genes}",
        real=np.concatenate([controls, controls[drawn]]),
    )


def real_case(directory: Path, cell_type: str, seed: int) -> Case:
    """Score real cells of one line against its controls, shifted by noisy real effects.

    Genes that no control expresses stay so: their fold changes would be infinite, and tie.
    """
    data = anndata.read_h5ad(directory / "norman_mcfaline_cells.h5ad")
    data = data[(data.obs["cell_type"] == cell_type).to_numpy()]
    labels = data.obs["perturbation"].to_numpy(dtype=str)
    labels = np.where(labels == "control", CONTROL, labels)
    real = scipy.sparse.csr_array(data.X).toarray().astype(np.float64)
    generator = np.random.default_rng(seed)
    is_control = labels == CONTROL
    predicted = real.copy()
    for name in np.setdiff1d(labels, [CONTROL]):
        own = labels == name
        delta = real[own].mean(axis=0) - real[is_control].mean(axis=0)
        drawn = generator.choice(np.flatnonzero(is_control), own.sum())
        shift = delta * generator.normal(0.7, 0.5, delta.shape) * real[is_control].any(axis=0)
        predicted[own] = np.maximum(real[drawn] + shift, 0)
    return Case(
        name=f"real cells, {cell_type}, seed {seed}",
        gene_names=data.var_names.to_numpy(dtype=str),
        labels=labels,
        real=real,
        predicted=predicted,
    )


def made_cases() -> Iterator[Case]:
    """Give cases of several shapes and seeds, and each trap."""
    for seed, shape in enumerate([(3, 20, 15, 30), (8, 60, 25, 40), (12, 130, 30, 200), (5, 250, 60, 90)]):
        yield random_case(seed, *shape)
    yield constant_case(4, 8, 60, 30)
    yield no_change_case(5, 8, 60, 30)
    yield nothing_true_case(6, 8, 60, 30)


def real_cases(directory: Path) -> Iterator[Case]:
    """Give cases of real cells."""
    for seed, cell_type in enumerate(["k562", "A172", "k562"]):
        yield real_case(directory, cell_type, seed)


def measure(scratch: Path) -> Iterator[Measurement]:
    """Print the table of every case and yield each metric's largest difference."""
    default = Path(__file__).parents[2] / "shared" / "data"
    directory = Path(os.environ.get("ADAPERT_DATA", default))
    cases = [*made_cases()]
    if directory.is_dir():
        cases += real_cases(directory)
    table = pd.DataFrame({case.name: differences(case) for case in cases})
    by_kind = table.T.groupby(lambda name: name.split(",")[0], sort=False).max().T
    print(by_kind.to_string(float_format=lambda value: f"{value:.0e}"))
    worst = table.max(axis=1)
    for name in COUNTERPARTS:
        yield Measurement(
            name=f"parity_{name}",
            value=float(worst[name]),
            unit="",
            target=TOLERANCE,
            note=f"cell-eval's {COUNTERPARTS[name]}, worst in '{table.loc[name].idxmax()}'",
        )


def _deltas(case: Case, cells: FloatArray) -> FloatArray:
    control = sum_cells(cells[case.labels == CONTROL]).mean
    return np.stack([sum_cells(cells[case.labels == name]).mean - control for name in case.perturbations])


def _test(case: Case, cells: FloatArray) -> DifferentialExpression:
    controls = cells[case.labels == CONTROL]
    sorted_controls = sort_controls(scipy.sparse.csr_array(controls))
    changes, degs = [], []
    for name in case.perturbations:
        own = cells[case.labels == name]
        p_values = mann_whitney(scipy.sparse.csr_array(own), sorted_controls).p_values
        degs.append(call_degs(p_values, "fdr"))
        changes.append(log2_fold_change(sum_cells(own).share_sums, sum_cells(controls).share_sums))
    return DifferentialExpression(log2_fold_change=np.stack(changes), deg_mask=np.stack(degs))


def _ties_after(tested: DifferentialExpression, n_kept: IntArray) -> BoolArray:
    strength = np.where(tested.deg_mask, np.abs(tested.log2_fold_change), -1.0)
    ranked = np.pad(-np.sort(-strength, axis=1), ((0, 0), (0, 1)), constant_values=-1.0)
    rows = np.arange(len(ranked))
    last, following = ranked[rows, np.maximum(n_kept - 1, 0)], ranked[rows, n_kept]
    is_tied: BoolArray = (n_kept > 0) & (last == following) & (last >= 0)
    return is_tied


def _annotated(case: Case, cells: FloatArray) -> anndata.AnnData:
    index = [f"cell_{number}" for number in range(len(case.labels))]
    return anndata.AnnData(
        scipy.sparse.csr_matrix(cells),
        obs=pd.DataFrame({"target_gene": pd.Categorical(case.labels)}, index=index),
        var=pd.DataFrame(index=case.gene_names),
    )


def _largest_difference(one: FloatArray, other: FloatArray) -> float:
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    return float(np.nanmax(np.abs(one - other), initial=0.0))
