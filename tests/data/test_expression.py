from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import scipy.sparse
from scipy.sparse import csr_array

from adapert.data import row_chunks
from adapert.data.expression import StoredExpression, ValueCheck, scale_counts
from adapert.data.formats.stored import StoredRows
from adapert.errors import InputError

GENES = np.array(["A", "B", "C"])


def sparse(values: np.ndarray | list[list[float]]) -> csr_array:
    return scipy.sparse.csr_array(np.array(values, dtype=np.float32))


def check(*parts: list[list[float]]) -> bool:
    seen = ValueCheck()
    for part in parts:
        seen.add(sparse(part))
    return seen.is_counts(GENES, ["umis"])


def store(folder: Path, counts: np.ndarray, **changes: Any) -> StoredExpression:
    """Expression of all cells and genes in their order, but for what is given."""
    n_cells, n_genes = counts.shape
    fields = {
        "rows": StoredRows.write(folder / "cells", [sparse(counts)], n_genes),
        "row_index": np.arange(n_cells),
        "gene_index": np.arange(n_genes, dtype=np.int32),
        "n_genes": n_genes,
        "scale": scale_counts(counts.sum(axis=1), 4_000),
    }
    return StoredExpression(**fields | changes)


def normalised(counts: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(counts * (4000 / counts.sum(axis=1))[:, None]))


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(2, (20, 15)).astype(np.float32)


def test_integers_are_counts_and_fractions_log_values() -> None:
    assert check([[0, 1, 250]])
    assert not check([[0, 1.5, 7.25]])


def test_one_fraction_anywhere_makes_log_values() -> None:
    assert not check([[0, 1, 2]], [[0, 1.5, 0]], [[3, 0, 0]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 1, 2], [0, np.nan, np.nan]], "must be numbers, but 2 values are NaN, the first in gene 'B'"),
        ([[0, 1, np.inf]], "must be finite, but 1 value is infinite, the first in gene 'C'"),
        ([[-1, 1, -2]], "must not be negative, but 2 values are below 0, the first in gene 'A'"),
        (
            [[0, 1.5, 312.5]],
            r"fractions of up to 312.5: normalised, not logged. Apply log1p first, or .*layer \('umis'\)",
        ),
        ([[0, 0, 0]], "must not be zero everywhere"),
    ],
)
def test_other_values_are_refused(values: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(values)


def test_bad_values_are_counted_over_all_chunks() -> None:
    with pytest.raises(InputError, match="3 values are NaN, the first in gene 'B'"):
        check([[1, 2, 3]], [[0, np.nan, 1]], [[np.nan, 0, np.nan]])


def test_counts_are_scaled_to_4000_and_logged(tmp_path: Path) -> None:
    expression = store(tmp_path, np.array([[1, 0, 3], [0, 0, 0]]))
    np.testing.assert_allclose(
        expression.of(np.arange(2)).toarray(), [[np.log(1001), 0, np.log(3001)], [0, 0, 0]], rtol=1e-6
    )


def test_normalisation_is_scanpys(tmp_path: Path, counts: np.ndarray) -> None:
    import scanpy

    reference = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(reference, target_sum=4000)
    scanpy.pp.log1p(reference)
    expression = store(tmp_path, counts)
    np.testing.assert_allclose(expression.of(np.arange(20)).toarray(), reference.X, rtol=1e-5)


def test_log_values_are_taken_as_they_are(tmp_path: Path, counts: np.ndarray) -> None:
    expression = store(tmp_path, np.log1p(counts), scale=None)
    np.testing.assert_array_equal(expression.of(np.arange(20)).toarray(), np.log1p(counts))


def test_library_size_counts_genes_that_are_not_kept(tmp_path: Path, counts: np.ndarray) -> None:
    gene_index = np.full(15, -1, dtype=np.int32)
    gene_index[[9, 4]] = [0, 1]
    expression = store(tmp_path, counts, gene_index=gene_index, n_genes=2)
    np.testing.assert_allclose(
        expression.of(np.arange(20)).toarray(), normalised(counts)[:, [9, 4]], rtol=1e-6
    )


def test_cells_come_in_the_order_asked_for(tmp_path: Path, counts: np.ndarray) -> None:
    row_index = np.random.default_rng(1).permutation(20)
    expression = store(tmp_path, counts, row_index=row_index)
    cells = np.array([7, 2, 13])
    np.testing.assert_allclose(
        expression.of(cells).toarray(), normalised(counts)[row_index[cells]], rtol=1e-6
    )


@pytest.mark.parametrize("values_at_once", [1, 30])
def test_chunks_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: np.ndarray, values_at_once: int
) -> None:
    expression, cells = store(tmp_path, counts), np.arange(20)[::-1]
    whole = expression.of(cells, slice(3, 9)).toarray()
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", values_at_once)
    np.testing.assert_array_equal(expression.of(cells, slice(3, 9)).toarray(), whole)
    for chunk, part in expression.chunks(cells, slice(3, 9)):
        np.testing.assert_array_equal(part.toarray(), whole[chunk])
