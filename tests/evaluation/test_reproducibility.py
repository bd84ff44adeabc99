from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from adapert.data.array_tables import CellTable
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.reproducibility import (
    REPLICATES,
    ReplicateName,
    reproducibility,
    resamples,
    split_halves,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def as_counts(cells: CellTable, n_genes: int, seed: int) -> CellTable:
    """Counts instead of the tiny data set's noise, scaled cell by cell and logged."""
    rate = np.expm1(cells.expression(n_genes).toarray()) * 4 + 0.5
    counts = generator(seed).poisson(rate)
    counts[:, 0] = 1
    unit = generator(seed).uniform(0.2, 0.9, size=(len(counts), 1))
    logged = scipy.sparse.csr_array(np.log1p(counts * unit).astype(np.float32))
    return replace(cells, values=logged.data, gene_index=logged.indices, row_start=logged.indptr)


@pytest.fixture
def counted(tiny_dataset: PreparedDataset) -> PreparedDataset:
    part = tiny_dataset.splits["train"]
    cells = as_counts(part.cells, tiny_dataset.n_genes, 0)
    return replace(
        tiny_dataset,
        control_cells=as_counts(tiny_dataset.control_cells, tiny_dataset.n_genes, 1),
        splits={"train": replace(part, cells=cells)},
    )


@pytest.mark.parametrize("replicates", REPLICATES)
def test_values_are_those_that_a_model_has(counted: PreparedDataset, replicates: ReplicateName) -> None:
    table = counted.splits["train"].table
    model = evaluate(table.delta, counted, "train", generator=generator())
    ceiling = reproducibility(counted, "train", replicates=replicates, n_repeats=2, generator=generator())
    assert ceiling.per_perturbation.keys() == model.per_perturbation.keys()
    assert ceiling.scalars.keys() == model.scalars.keys()
    for name, values in ceiling.per_perturbation.items():
        assert values.shape == table.perturbations.shape, name
    assert ceiling.emission is None
    assert (ceiling.per_perturbation["pearson_delta"] > 0.3).mean() > 0.5


@pytest.mark.parametrize("replicates", REPLICATES)
def test_same_generator_gives_the_same_numbers(counted: PreparedDataset, replicates: ReplicateName) -> None:
    one, other = (
        reproducibility(counted, "train", replicates=replicates, n_repeats=2, generator=generator())
        for _ in range(2)
    )
    for name, values in one.per_perturbation.items():
        np.testing.assert_array_equal(values, other.per_perturbation[name])


def test_halves_share_no_cell_and_leave_none_out(tiny_dataset: PreparedDataset) -> None:
    cells = tiny_dataset.splits["train"].cells
    expression = cells.expression(tiny_dataset.n_genes).toarray()
    for p, halves in enumerate(zip(*split_halves(tiny_dataset, "train", generator()), strict=True)):
        own = cells.perturbation_index == p
        joined = np.concatenate([half.expression.toarray() for half in halves])
        assert sorted(map(bytes, joined)) == sorted(map(bytes, expression[own]))
        for batch in np.unique(cells.batch_index[own]):
            sizes = [(half.batch_index == batch).sum() for half in halves]
            assert abs(sizes[0] - sizes[1]) <= 1


def test_repeats_are_averaged(tiny_dataset: PreparedDataset) -> None:
    streams = generator().spawn(3)
    singles = []
    for stream in streams:
        halves = split_halves(tiny_dataset, "train", stream)
        deltas = []
        for half in halves:
            control_mean = tiny_dataset.shared.batch_control_mean
            deltas.append(
                np.stack([(one.expression - control_mean[one.batch_index]).mean(axis=0) for one in half])
            )
        singles.append(np.square(deltas[0] - deltas[1]).mean(axis=1))
    ceiling = reproducibility(tiny_dataset, "train", n_repeats=3, generator=generator())
    np.testing.assert_allclose(ceiling.per_perturbation["mse"], np.mean(singles, axis=0), rtol=1e-4)


def test_resampled_cells_keep_their_number_of_counts_and_their_scale(counted: PreparedDataset) -> None:
    observed = counted.splits["train"].cells.expression(counted.n_genes).toarray()
    index = counted.splits["train"].cells.perturbation_index
    for p, drawn in enumerate(resamples(counted, "train", generator())[0]):
        before, after = np.expm1(observed[index == p]), np.expm1(drawn.expression.toarray())
        np.testing.assert_allclose(after.sum(axis=1), before.sum(axis=1), rtol=1e-4)
        assert not np.allclose(after, before)


def test_resampled_replicates_differ_from_one_another(counted: PreparedDataset) -> None:
    one, other = resamples(counted, "train", generator())
    assert (next(one).expression != next(other).expression).nnz


def test_values_that_are_no_counts_are_not_resampled(tiny_dataset: PreparedDataset) -> None:
    with pytest.raises(InputError, match=r"not logarithms of scaled counts\. Take halves"):
        reproducibility(tiny_dataset, "train", replicates="resampled", generator=generator())


def test_responses_have_no_reproducibility(tiny_dataset: PreparedDataset) -> None:
    responses = replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))
    with pytest.raises(InputError, match="measured on cells, but the data set was prepared from responses"):
        reproducibility(responses, "train", generator=generator())


def test_perturbation_of_one_cell_has_no_halves(tiny_dataset: PreparedDataset) -> None:
    part = tiny_dataset.splits["train"]
    n_cells = part.table.n_cells.copy()
    n_cells[3] = 1
    lonely = replace(part, table=replace(part.table, n_cells=n_cells))
    dataset = replace(tiny_dataset, splits={"train": lonely})
    with pytest.raises(InputError, match="need two cells a perturbation, but 1 have one"):
        reproducibility(dataset, "train", generator=generator())
