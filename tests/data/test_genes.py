from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from adapert.data.genes import GeneSymbols, read_symbols, select_cell_genes, select_response_genes
from adapert.errors import InputError

ENSEMBL = ["ENSG00000000003", "ENSG00000000005.2", "ENSG00000000419"]


def genes(index: list[str], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns, index=index)


def test_index_of_symbols_is_taken() -> None:
    symbols = read_symbols(genes(["A", "B", "C"], gene_name=["x", "y", "z"]), None)
    assert symbols.names.tolist() == ["A", "B", "C"]
    assert symbols.column is None


@pytest.mark.parametrize("index", [ENSEMBL, ["0", "1", "2"]])
def test_numbers_are_replaced_by_a_column_of_symbols(index: list[str]) -> None:
    symbols = read_symbols(genes(index, feature_name=["A", "B", "C"]), None)
    assert symbols.names.tolist() == ["A", "B", "C"]
    assert symbols.column == "feature_name"


def test_genes_without_symbols_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"genes without symbols: 'ENSG.*--gene-column; the columns are 'length'"
    ):
        read_symbols(genes(ENSEMBL, length=[1, 2, 3]), None)


def test_named_column_wins() -> None:
    assert read_symbols(genes(["a", "b", "c"], other=["A", "B", "C"]), "other").names.tolist() == [
        "A",
        "B",
        "C",
    ]


def test_first_of_a_repeated_symbol_is_kept_and_blanks_are_not() -> None:
    symbols = read_symbols(genes(ENSEMBL * 2, symbol=["A", "B", "A", None, "C", ""]), None)
    assert symbols.is_first.tolist() == [True, True, False, False, True, False]
    assert symbols.n_left_out == 3


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    generator = np.random.default_rng(0)
    mean = generator.lognormal(0, 1, 80)
    return generator.poisson(mean * generator.gamma(2, 0.5, (200, 80))).astype(np.float32)


NAMES = np.array([f"G{number:02d}" for number in range(80)])


def select(
    values: np.ndarray,
    perturbed_genes: set[str],
    n_genes: int,
    is_counts: bool,
    names: np.ndarray = NAMES,
    is_first: np.ndarray | None = None,
) -> np.ndarray:
    """Select among genes that all have a symbol, from cells in two chunks."""
    symbols = GeneSymbols(
        names=names,
        is_first=np.ones(len(names), dtype=bool) if is_first is None else is_first,
        column=None,
    )
    cells = [scipy.sparse.csr_array(values[rows]) for rows in (slice(0, 70), slice(70, None))]
    return select_cell_genes(cells, symbols, perturbed_genes, n_genes, is_counts)


@pytest.mark.parametrize(("is_counts", "flavor"), [(True, "seurat_v3"), (False, "seurat")])
def test_variable_genes_are_scanpys(counts: np.ndarray, is_counts: bool, flavor: str) -> None:
    import scanpy

    values = counts if is_counts else np.log1p(counts)
    kept = select(values, set(), 20, is_counts)
    reference = anndata.AnnData(values.copy())
    scanpy.pp.highly_variable_genes(reference, flavor=flavor, n_top_genes=20)
    assert NAMES[kept].tolist() == NAMES[reference.var["highly_variable"]].tolist()


def test_perturbed_genes_are_kept_even_where_nothing_was_detected(counts: np.ndarray) -> None:
    counts = counts.copy()
    counts[:, 7] = 0
    kept = select(counts, {"G07", "NOT_MEASURED"}, 20, True)
    assert "G07" in NAMES[kept]
    assert len(kept) == 21


def test_undetected_genes_are_left_out(counts: np.ndarray) -> None:
    counts = counts.copy()
    counts[:, 7] = 0
    kept = select(counts, set(), 500, True)
    assert NAMES[kept].tolist() == [name for name in NAMES.tolist() if name != "G07"]


def test_order_of_genes_makes_no_difference(counts: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(80)
    one = NAMES[select(counts, {"G00"}, 20, True)]
    other = NAMES[order][select(counts[:, order], {"G00"}, 20, True, names=NAMES[order])]
    assert one.tolist() == other.tolist()


def test_gene_without_a_symbol_of_its_own_is_not_chosen(counts: np.ndarray) -> None:
    is_first = np.arange(80) != 11
    kept = select(counts, {"G11"}, 500, True, is_first=is_first)
    assert NAMES[kept].tolist() == [name for name in NAMES.tolist() if name != "G11"]


def test_responding_genes_rank_by_marks_then_responses_then_size_then_name() -> None:
    delta = np.array([[1, 1, 0, 9, 2, 2], [0, 1, 3, 0, 2, 2]])
    marks = np.array([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=bool)
    names = np.array(["twice_marked", "once_marked", "third", "large", "b", "a"])

    def chosen(n_genes: int) -> set[str]:
        return set(names[select_response_genes(delta, marks, names, set(), n_genes)].tolist())

    order = ["twice_marked", "once_marked", "a", "b", "large", "third"]
    assert [chosen(number) for number in range(1, 7)] == [set(order[:number]) for number in range(1, 7)]


def test_measured_perturbed_gene_is_kept_beside_the_responding_ones() -> None:
    names = np.array(["A", "B", "C"])
    delta, marks = np.array([[3.0, 2.0, 0.0]]), np.zeros((1, 3), dtype=bool)
    assert names[select_response_genes(delta, marks, names, {"C"}, 1)].tolist() == ["A", "C"]


@pytest.mark.parametrize(
    "var",
    [
        genes(ENSEMBL, gene_name=["A", "B", "C"]),
        genes(["A", "B", "C"], length=[1, 2, 3], gene_ids=ENSEMBL),
    ],
)
def test_ensembl_numbers_are_found_in_the_index_or_a_column(var: pd.DataFrame) -> None:
    assert read_symbols(var, None).ids == {
        "ENSG00000000003": "A",
        "ENSG00000000005": "B",
        "ENSG00000000419": "C",
    }


def test_genes_without_ensembl_numbers_have_none() -> None:
    assert read_symbols(genes(["A", "B", "C"], length=[1, 2, 3]), None).ids == {}


def test_blanks_around_symbols_are_dropped() -> None:
    symbols = read_symbols(genes(["A ", " B", "A"]), None)
    assert symbols.names.tolist() == ["A", "B", "A"]
    assert symbols.is_first.tolist() == [True, True, False]
