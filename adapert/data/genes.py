"""Gene symbols of a file, and which genes a prepared data set keeps."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.columns import GENE_SYMBOL, find_column, texts
from adapert.data.labels.words import ENSEMBL_ID
from adapert.data.schema import BoolArray, FloatArray, IntArray, StringArray
from adapert.data.variability import measure_moments, score_counts, score_log_values
from adapert.errors import InputError, format_count, name_some

_LOGGER = logging.getLogger(__name__)

NO_SYMBOL = re.compile(r"(ENS[A-Z]*G\d+(\.\d+)?|\d+|)")
"""Ensembl's gene numbers, plain numbers (Entrez's or a counter's), and nothing."""


@dataclass(frozen=True, kw_only=True)
class GeneSymbols:
    """Symbols of a file's genes.

    Attributes:
        names: Symbol of each gene, (n_genes,).
        is_first: Whether a gene has a symbol and is the first of that symbol, (n_genes,).
        column: Column they come from; ``None`` for the index.
        ids: Symbol by Ensembl number without version, where the annotations have both.
    """

    names: StringArray
    is_first: BoolArray
    column: str | None
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_left_out(self) -> int:
        """Number of genes without a symbol, or that repeat one."""
        return int((~self.is_first).sum())


def read_symbols(var: pd.DataFrame, explicit: str | None) -> GeneSymbols:
    """Find the gene symbols among the genes' annotations.

    They are in the `explicit` column; without one in the index, or, where that holds Ensembl's or plain
    numbers, in a column of a usual name.

    Raises:
        InputError: No such column, or no symbols to be found.
    """
    index = var.index.to_numpy(dtype=str)
    column = find_column(var, GENE_SYMBOL, explicit) if explicit or not _are_symbols(index) else None
    # As objects, since a categorical takes no value that is not among its categories.
    names = index if column is None else var[column].astype(object).fillna("").to_numpy(dtype=str)
    names = np.char.strip(names)
    if not _are_symbols(names):
        raise InputError(
            "Genes must have symbols, but these are genes without symbols: "
            f"{name_some(names.tolist(), 3)}. Name a column of symbols with --gene-column; the columns are "
            f"{name_some(map(str, var.columns)) or 'none'}."
        )
    return GeneSymbols(
        names=names,
        is_first=(names != "") & ~pd.Series(names).duplicated().to_numpy(),
        column=column,
        ids=_find_ids(var, names),
    )


def select_cell_genes(
    cells: Iterable[scipy.sparse.csr_array],
    symbols: GeneSymbols,
    perturbed_genes: set[str],
    n_genes: int,
    is_counts: bool,
) -> IntArray:
    """Choose the highly variable genes, and every perturbed gene that was measured.

    Args:
        cells: Counts or log values of the control and training cells only, so that test data choose
            nothing, in chunks, (n_cells of the chunk, n_genes of the file); iterated up to twice.
        symbols: Symbols of the file's genes; those without a symbol, or that repeat one, are not chosen.
        perturbed_genes: Genes that are kept in any case.
        n_genes: Highly variable genes to keep; all that were detected where there are no more.
        is_counts: Whether the values are counts (`seurat_v3`) or log values (`seurat`).

    Returns:
        Columns in the order of their names, (n_kept,).

    Raises:
        InputError: Too few cells for the variance fit of `seurat_v3`.
    """
    moments = measure_moments(cells, len(symbols.names), is_counts)
    chosen = np.flatnonzero(symbols.is_first & (moments.n_detected > 0))
    if len(chosen) > n_genes:
        score = (
            score_counts(cells, moments, chosen) if is_counts else score_log_values(moments.of_genes(chosen))
        )
        # A gene that does not vary may have no score and comes last.
        # Ties are broken by name, so that the order of genes makes no difference.
        order = np.lexsort((symbols.names[chosen], -np.nan_to_num(score, nan=-np.inf)))
        chosen = chosen[order[:n_genes]]
    is_perturbed = symbols.is_first & np.isin(symbols.names, sorted(perturbed_genes))
    return _sort_by_name(np.union1d(chosen, np.flatnonzero(is_perturbed)), symbols.names)


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
    is_perturbed = np.isin(gene_names, sorted(perturbed_genes))
    return _sort_by_name(np.union1d(detected[order[:n_genes]], np.flatnonzero(is_perturbed)), gene_names)


def note_genes(symbols: GeneSymbols, n_kept: int) -> None:
    """Tell how many genes of a file are kept, and how many have no symbol of their own."""
    if symbols.n_left_out:
        _LOGGER.info(
            f"{format_count(symbols.n_left_out, 'gene')} without a symbol or with a repeated one, left out"
        )
    _LOGGER.info(f"{n_kept:,} of {format_count(len(symbols.names), 'gene')} kept")


def _find_ids(var: pd.DataFrame, names: StringArray) -> dict[str, str]:
    """Find the Ensembl numbers of the genes: in the index, or in the first column that has most of them."""
    columns = [var.index.astype(str), *(texts(var[column]).fillna("") for column in var.columns)]
    for column in columns:
        numbers = [ENSEMBL_ID.fullmatch(value) for value in column]
        if sum(number is not None for number in numbers) > len(names) / 2:
            pairs = zip(numbers, names.tolist(), strict=True)
            return {number["id"]: name for number, name in pairs if number and name}
    return {}


def _are_symbols(names: StringArray) -> bool:
    n_without = sum(NO_SYMBOL.fullmatch(name) is not None for name in names)
    return n_without < len(names) / 2


def _sort_by_name(genes: IntArray, gene_names: StringArray) -> IntArray:
    return genes[np.argsort(gene_names[genes])]
