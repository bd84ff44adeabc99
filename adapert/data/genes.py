"""Gene symbols of a file, and which genes a prepared data set keeps."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.columns import GENE_SYMBOL, find_column
from adapert.data.schema import BoolArray, FloatArray, IntArray, StringArray
from adapert.errors import InputError, name_some

NO_SYMBOL = re.compile(r"(ENS[A-Z]*G\d+(\.\d+)?|\d+|)")
"""Ensembl's gene numbers, plain numbers (Entrez's or a counter's), and nothing."""


@dataclass(frozen=True, kw_only=True)
class GeneSymbols:
    """Symbols of a file's genes.

    Attributes:
        names: Symbol of each gene, (n_genes,).
        is_first: Whether a gene has a symbol and is the first of that symbol, (n_genes,).
        column: Column they come from; ``None`` for the index.
    """

    names: StringArray
    is_first: BoolArray
    column: str | None

    @property
    def n_left_out(self) -> int:
        """Number of genes without a symbol, or that repeat one."""
        return int((~self.is_first).sum())


def read_symbols(var: pd.DataFrame, explicit: str | None) -> GeneSymbols:
    """Find the gene symbols among the genes' annotations.

    Args:
        var: Annotations of the genes.
        explicit: Column that the user names; ``None`` for the index, or for a usual column where
            the index holds Ensembl's or plain numbers.

    Raises:
        InputError: No such column, or no symbols to be found.
    """
    index = var.index.to_numpy(dtype=str)
    column = find_column(var, GENE_SYMBOL, explicit) if explicit or not _are_symbols(index) else None
    names = index if column is None else var[column].astype(object).fillna("").to_numpy(dtype=str)
    if not _are_symbols(names):
        raise InputError(
            "Genes must have symbols, but these are genes without symbols: "
            f"{name_some(names.tolist(), 3)}. Name a column of symbols with --gene-column; the columns are "
            f"{name_some(map(str, var.columns)) or 'none'}."
        )
    return GeneSymbols(
        names=names, is_first=(names != "") & ~pd.Series(names).duplicated().to_numpy(), column=column
    )


def select_cell_genes(
    matrix: scipy.sparse.csr_array,
    gene_names: StringArray,
    perturbed_genes: set[str],
    n_genes: int,
    is_counts: bool,
) -> IntArray:
    """Choose the highly variable genes, and every perturbed gene that was measured.

    Args:
        matrix: Counts or log values of the control and training cells only, so that test data
            choose nothing, (n_cells, n_candidates).
        gene_names: (n_candidates,).
        perturbed_genes: Genes that are kept in any case.
        n_genes: Highly variable genes to keep; all that were detected where there are no more.
        is_counts: Whether the values are counts (`seurat_v3`) or log values (`seurat`).

    Returns:
        Columns in the order of their names, (n_kept,).

    Raises:
        InputError: Too few cells for the variance fit of `seurat_v3`.
    """
    detected = np.flatnonzero(np.bincount(matrix.indices, minlength=len(gene_names)))
    if len(detected) > n_genes:
        score = _variability(matrix[:, detected], is_counts)
        detected = detected[np.lexsort((gene_names[detected], -score))[:n_genes]]
    return _with_perturbed(detected, gene_names, perturbed_genes)


def select_response_genes(
    delta: FloatArray,
    is_significant: BoolArray,
    gene_names: StringArray,
    perturbed_genes: set[str],
    n_genes: int,
) -> IntArray:
    """Choose the genes that respond most often, and every perturbed gene that was measured.

    Ranked by how often a gene is marked significant, then by how often its response is not zero,
    by its mean square, by its name.

    Args:
        delta: Responses of the training perturbations only, (n_training, n_candidates).
        is_significant: As `delta`.
        gene_names: (n_candidates,).
        perturbed_genes: Genes that are kept in any case.
        n_genes: Genes to keep.

    Returns:
        Columns in the order of their names, (n_kept,).
    """
    detected = np.flatnonzero((delta != 0).any(axis=0))
    values = delta[:, detected]
    order = np.lexsort(
        (
            gene_names[detected],
            -np.square(values, dtype=np.float64).mean(axis=0),
            -np.count_nonzero(values, axis=0),
            -np.count_nonzero(is_significant[:, detected], axis=0),
        )
    )
    return _with_perturbed(detected[order[:n_genes]], gene_names, perturbed_genes)


def _are_symbols(names: StringArray) -> bool:
    n_without = sum(NO_SYMBOL.fullmatch(name) is not None for name in names)
    return n_without < len(names) / 2


def _with_perturbed(chosen: IntArray, gene_names: StringArray, perturbed_genes: set[str]) -> IntArray:
    perturbed = np.flatnonzero(np.isin(gene_names, sorted(perturbed_genes)))
    kept = np.union1d(chosen, perturbed)
    by_name: IntArray = kept[np.argsort(gene_names[kept])]
    return by_name


def _variability(matrix: scipy.sparse.csr_array, is_counts: bool) -> FloatArray:
    """Score genes by scanpy's normalised variance (`seurat_v3`) or dispersion (`seurat`)."""
    import anndata
    import scanpy

    cells = anndata.AnnData(scipy.sparse.csr_matrix(matrix))
    flavor, column = ("seurat_v3", "variances_norm") if is_counts else ("seurat", "dispersions_norm")
    try:
        # The score is what is wanted here; its ties are broken by name, so scanpy's own choice is not.
        table = scanpy.pp.highly_variable_genes(cells, flavor=flavor, n_top_genes=1, inplace=False)
    except ValueError as error:  # the loess fit of too few distinct means
        raise InputError(
            f"Highly variable genes cannot be found among {matrix.shape[1]} genes in {matrix.shape[0]} cells "
            f"({error}). Keep all of them with --n-genes {matrix.shape[1]}."
        ) from error
    score: FloatArray = np.nan_to_num(table[column].to_numpy(np.float64), nan=-np.inf)
    return score
