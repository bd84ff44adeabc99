"""How well the experiment reproduces itself: ceilings to compare models with (TxPert's methods).

Two replicates of every perturbation's cells are made; one stands for the prediction, the other for the
observation. Neither way is a bound: halves have half the cells, and resampled counts vary between cells by
counting alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse

from adapert.data.differential import CellSums, sum_cells
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray, SplitName
from adapert.errors import InputError, name_some
from adapert.evaluation.catalogue import compute_metrics
from adapert.evaluation.cell_moments import CellMoments, t_against_rest
from adapert.evaluation.cell_tests import ControlTests
from adapert.evaluation.de_metrics import DifferentialExpression
from adapert.evaluation.evaluate import Evaluation
from adapert.evaluation.inputs import gather_inputs

ReplicateName: TypeAlias = Literal["split_half", "resampled"]

WHOLE_COUNT = 0.05
"""Largest distance from a whole number of a count that is read back from float32 log values; also the
largest share of the counts that may be farther away."""


@dataclass(frozen=True, kw_only=True)
class GroupedCells:
    """Cells of one perturbation.

    Attributes:
        expression: log1p units, (n_cells, n_genes).
        batch_index: Matching group of each, (n_cells,).
    """

    expression: scipy.sparse.csr_array
    batch_index: IntArray


def reproducibility(
    dataset: PreparedDataset,
    split: SplitName,
    *,
    replicates: ReplicateName = "split_half",
    n_repeats: int = 5,
    generator: np.random.Generator,
) -> Evaluation:
    """Score one replicate of each perturbation's cells against another, as `evaluate` scores a model.

    TxPert: Reproduce(p, c, b) = Metric(mean of S1, mean of S2), averaged over repeats. Here cells of all
    matching groups of a perturbation are averaged as in its delta, and metrics of differential expression
    test the replicates' own cells. Nothing is corrected to the full number of cells.

    Args:
        dataset: Prepared from cells, with the split.
        split: Split of the perturbations.
        replicates: ``"split_half"``: the cells in two random halves, each group by itself;
            ``"resampled"``: two sets of as many cells, each cell with its own number of counts, drawn from
            the multinomial over genes that is most likely for its group.
        n_repeats: Times that replicates are made and scored.
        generator: Makes the replicates.

    Returns:
        Values averaged over the repeats where they are defined; no emission.

    Raises:
        InputError: Data prepared from responses; perturbations of one cell, for halves; values that are
            not logarithms of scaled counts, for resampling.
    """
    if dataset.manifest.kind == "responses":
        raise InputError(
            "Reproducibility is measured on cells, but the data set was prepared from responses. "
            "Prepare it from cells."
        )
    runs = [
        _score(dataset, split, REPLICATES[replicates](dataset, split, stream))
        for stream in generator.spawn(n_repeats)
    ]
    per_perturbation = {
        name: _mean_where_defined([metrics[name] for metrics, _ in runs]) for name in runs[0][0]
    }
    scalars = {name: float(_mean_where_defined([values[name] for _, values in runs])) for name in runs[0][1]}
    return Evaluation(per_perturbation=per_perturbation, scalars=scalars, emission=None, clip_fraction=None)


def split_halves(
    dataset: PreparedDataset, split: SplitName, generator: np.random.Generator
) -> tuple[Iterator[GroupedCells], Iterator[GroupedCells]]:
    """Divide each perturbation's cells into two halves, each matching group as equally as it can be.

    Raises:
        InputError: A perturbation of a single cell.
    """
    table, cells = dataset.splits[split].table, dataset.splits[split].cells
    single = table.perturbations[table.n_cells < 2].tolist()
    if single:
        raise InputError(
            f"Halves need two cells a perturbation, but {len(single)} have one: {name_some(single)}. "
            "Prepare the data with --min-cells 2."
        )
    halves = []
    for perturbation in range(len(table.perturbations)):
        rows = generator.permutation(np.flatnonzero(cells.perturbation_index == perturbation))
        # Every other cell of a shuffled group: its halves differ by one cell at most.
        rows = rows[np.argsort(cells.batch_index[rows], kind="stable")]
        halves.append((rows[::2], rows[1::2]))
    first, second = zip(*halves, strict=True)
    return _select(dataset, split, first), _select(dataset, split, second)


def resamples(
    dataset: PreparedDataset, split: SplitName, generator: np.random.Generator
) -> tuple[Iterator[GroupedCells], Iterator[GroupedCells]]:
    """Draw each perturbation's counts again, twice.

    Raises:
        InputError: While it is iterated, values that are not logarithms of scaled counts.
    """
    one, other = generator.spawn(2)
    return _resample(dataset, split, one), _resample(dataset, split, other)


_Replicates: TypeAlias = Callable[
    [PreparedDataset, SplitName, np.random.Generator], tuple[Iterator[GroupedCells], Iterator[GroupedCells]]
]

REPLICATES: Mapping[ReplicateName, _Replicates] = {"split_half": split_halves, "resampled": resamples}
"""Way to the function that makes two replicates of a split's cells."""


def _select(dataset: PreparedDataset, split: SplitName, rows: Iterable[IntArray]) -> Iterator[GroupedCells]:
    cells = dataset.splits[split].cells
    expression = cells.expression(dataset.n_genes)
    for own in rows:
        yield GroupedCells(expression=expression[own], batch_index=cells.batch_index[own])


def _resample(
    dataset: PreparedDataset, split: SplitName, generator: np.random.Generator
) -> Iterator[GroupedCells]:
    index = dataset.splits[split].cells.perturbation_index
    rows = [np.flatnonzero(index == p) for p in range(len(dataset.splits[split].table.perturbations))]
    for cells in _select(dataset, split, rows):
        counts, unit = _read_counts(cells.expression)
        drawn = np.zeros(counts.shape)
        for batch in np.unique(cells.batch_index):
            own = cells.batch_index == batch
            gene_counts, cell_counts = counts[own].sum(axis=0), counts[own].sum(axis=1)
            # The multinomial that is most likely for the group; a group without counts has none.
            if gene_counts.any():
                share = gene_counts / gene_counts.sum()
                drawn[own] = generator.multinomial(cell_counts.astype(np.int64), share)
        expression = np.log1p(drawn * unit[:, None]).astype(np.float32)
        yield GroupedCells(expression=scipy.sparse.csr_array(expression), batch_index=cells.batch_index)


def _read_counts(expression: scipy.sparse.csr_array) -> tuple[FloatArray, FloatArray]:
    """Read counts back from log values: the smallest of a cell is taken for one count.

    Returns:
        Counts, (n_cells, n_genes), and what one count was scaled to, (n_cells,); 1 in an empty cell.
    """
    scaled = np.expm1(expression.toarray().astype(np.float64))
    unit = np.where(scaled > 0, scaled, np.inf).min(axis=1)
    unit[np.isinf(unit)] = 1.0
    counts: FloatArray = scaled / unit[:, None]
    n_odd = np.count_nonzero(np.abs(counts - np.rint(counts)) > WHOLE_COUNT)
    if n_odd > WHOLE_COUNT * np.count_nonzero(counts):
        raise InputError(
            "Resampling draws counts, but the data set's values are not logarithms of scaled counts. "
            "Take halves of the cells instead, or prepare the data from raw counts."
        )
    return np.rint(counts), unit


def _score(
    dataset: PreparedDataset,
    split: SplitName,
    replicates: tuple[Iterator[GroupedCells], Iterator[GroupedCells]],
) -> tuple[dict[str, FloatArray], dict[str, float]]:
    table = dataset.splits[split].table
    tests = ControlTests(dataset, table)
    (predicted, predicted_delta, predicted_moments), (observed, observed_delta, moments) = (
        _measure(dataset, tests, cells) for cells in replicates
    )
    control_mean = dataset.shared.control_mean
    given = gather_inputs(
        dataset,
        table.perturbations,
        predicted_delta=predicted_delta,
        observed_delta=observed_delta,
        deg_mask=observed.deg_mask,
        deg_score=t_against_rest(moments),
        pooled_deltas=(predicted_moments.means - control_mean, moments.means - control_mean),
        cells=(predicted, observed),
    )
    return compute_metrics(given)


def _measure(
    dataset: PreparedDataset, tests: ControlTests, cells: Iterable[GroupedCells]
) -> tuple[DifferentialExpression, FloatArray, CellMoments]:
    """Test and sum each perturbation's cells, one perturbation in memory at a time."""
    sums, control_means = list[CellSums](), list[FloatArray]()

    def pass_on() -> Iterator[scipy.sparse.csr_array]:
        for own in cells:
            sums.append(sum_cells(own.expression))
            batches, n_cells = np.unique(own.batch_index, return_counts=True)
            profiles = dataset.shared.batch_control_mean[batches].astype(np.float64)
            control_means.append(np.average(profiles, axis=0, weights=n_cells))
            yield own.expression

    tested = tests.differential_expression(pass_on())
    moments = CellMoments.of(sums)
    return tested, moments.means - np.stack(control_means), moments


def _mean_where_defined(values: Sequence[FloatArray | float]) -> FloatArray:
    stacked = np.array(values, dtype=np.float64)
    n_defined = (~np.isnan(stacked)).sum(axis=0)
    mean: FloatArray = np.nansum(stacked, axis=0) / np.where(n_defined == 0, np.nan, n_defined)
    return mean
