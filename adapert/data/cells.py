"""Measure single cells: label, split, normalise and compare them with their controls.

Whatever grows with the number of cells is on disk, and a chunk of it at a time in memory.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse

from adapert.data.array_tables import CellWriter
from adapert.data.choices import LIBRARY_SIZE, PrepareChoices
from adapert.data.columns import BATCH, CELL_LINE, PERTURBATION, find_column, require_column
from adapert.data.differential import DEG_TESTS, call_degs
from adapert.data.effect_size import effect_size_bounds
from adapert.data.effects import (
    Effect,
    GroupSums,
    MatchedControls,
    Measured,
    match_controls,
    measure_effect,
    write_effects,
)
from adapert.data.expression import StoredExpression, ValueCheck, scale_counts
from adapert.data.formats.array_folder import FolderWriter
from adapert.data.formats.matrices import (
    RAW,
    AnnotatedFile,
    Matrix,
    check_layer,
    describe_layer,
    read_annotations,
    read_chunks,
)
from adapert.data.formats.stored import StoredRows
from adapert.data.genes import GeneSymbols, note_genes, read_symbols, select_cell_genes
from adapert.data.labelled import LabelledCells, label_cells
from adapert.data.labels.rule import LabelRule
from adapert.data.labels.understood import note_dates
from adapert.data.prepared import CELL_FOLDER, CONTROL_FOLDER, read_cells
from adapert.data.schema import CONTROL, SPLITS, BoolArray, FloatArray, IntArray, StringArray, genes_of
from adapert.data.splits import Split, choose_split
from adapert.errors import InputError, format_count, name_some

_LOGGER = logging.getLogger(__name__)

COUNTS_LAYER = "counts"
"""Layer of raw counts where none is named."""

FAR_FROM_COUNTS = 4.0
"""Times the median counts of a cell beyond which scaling to a sum is warned of."""

TESTED_AT_ONCE = 2**25
"""Values in memory while DEGs are called: the genes are tested in blocks of this size."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The part of a file that is kept, decided before any value is read.

    Attributes:
        matrix: Counts or log values of all its cells.
        columns: Columns in use, by the choice they stand for.
        symbols: Gene symbols of the file.
        cells: Labels and matching groups of the cells.
        split: Perturbations of each split.
    """

    matrix: Matrix
    columns: Mapping[str, str | None]
    symbols: GeneSymbols
    cells: LabelledCells
    split: Split


def measure_cells(
    path: Path,
    choices: PrepareChoices,
    rule: LabelRule,
    split_file: Path | None,
    folder: Path,
) -> Measured:
    """Read single cells, measure each perturbation's effect, write cells and effects.

    Args:
        path: An .h5ad file of cells by genes.
        choices: How to prepare it.
        rule: Does not know the file's genes yet.
        split_file: Saved split; ``None`` to draw one.
        folder: The data set's; gets the control cells and the splits.

    Raises:
        FileNotFoundError: No such file.
        InputError: Cells, labels, genes or values that are not as described in the message.
    """
    kept = _choose_cells(path, choices, rule, split_file)
    cells, split = kept.cells, kept.split
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch_") as scratch:
        names, expression, median_counts = _store_expression(kept, choices, Path(scratch))
        matched = _write_controls(folder / CONTROL_FOLDER, expression, cells, choices.min_batch_controls)
        deg_masks = _call_all_degs(expression, cells, choices)
        training_n_degs = np.array([deg_masks[name].sum() for name in split["train"]])
        bounds = effect_size_bounds(choices.effect_size_groups, len(names), training_n_degs)
        for part in SPLITS:
            with FolderWriter(folder / part) as table, CellWriter(folder / part / CELL_FOLDER) as written:
                effects = _measure_effects(split[part], expression, cells, matched, deg_masks, written)
                write_effects(table, split[part], effects, bounds)
    control_cells, splits = read_cells(folder, SPLITS)
    return Measured(
        gene_names=names,
        splits=splits,
        control_cells=control_cells,
        control_mean=matched.mean,
        batches=cells.batches,
        batch_control_mean=matched.batch_mean,
        understood=cells.understood,
        median_counts=median_counts,
        guessed=choices.guessed(
            {**kept.columns, "counts_layer": kept.matrix.layer, "gene_column": kept.symbols.column}
        ),
    )


def _choose_cells(
    path: Path,
    choices: PrepareChoices,
    rule: LabelRule,
    split_file: Path | None,
) -> Kept:
    file = read_annotations(path)
    layer = _find_counts_layer(file, choices)
    symbols = read_symbols(file.genes_of(layer), choices.gene_column)
    note_dates(symbols.names, rule)
    rule = rule.with_genes(symbols.names.tolist(), symbols.ids)
    columns = {
        "perturbation_column": require_column(file.obs, PERTURBATION, choices.perturbation_column),
        "batch_column": find_column(file.obs, BATCH, choices.batch_column),
        "cell_line_column": find_column(file.obs, CELL_LINE, choices.cell_line_column),
    }
    if columns["batch_column"] is None:
        _LOGGER.info(
            "no column of sequencing batches was found: cells of all batches are compared with the same "
            f"controls; name one with --batch-column ({name_some(map(str, file.obs.columns)) or 'none'})"
        )
    cells = label_cells(file.obs, columns, choices, rule)
    split = choose_split(cells.perturbations, rule, split_file, choices, cells.dropped)
    return Kept(matrix=file.matrix(layer), columns=columns, symbols=symbols, cells=cells, split=split)


def _find_counts_layer(file: AnnotatedFile, choices: PrepareChoices) -> str | None:
    layer = choices.counts_layer
    if layer is None and COUNTS_LAYER in file.layers:
        layer = COUNTS_LAYER
    elif layer is None and not file.has_x and RAW in file.layers:
        layer = RAW
    check_layer(file, layer, "--counts-layer")
    if not file.has_x:
        _LOGGER.info(f"X holds nothing: {describe_layer(layer)} is read")
    elif layer != RAW and RAW in file.layers:
        _LOGGER.info(
            f"{RAW} is there too, of {format_count(len(file.genes_of(RAW)), 'gene')}: --counts-layer {RAW} "
            "reads it"
        )
    return layer


def _store_expression(
    kept: Kept, choices: PrepareChoices, scratch: Path
) -> tuple[StringArray, StoredExpression, float | None]:
    """Copy the kept cells to where any of them can be read, and choose genes.

    Returns:
        Names of the genes, (n_genes,), expression, and the median counts of controls and training cells;
        ``None`` for log values.
    """
    symbols, cells = kept.symbols, kept.cells
    check, sums = ValueCheck(), []

    def read() -> Iterator[scipy.sparse.csr_array]:
        for part in read_chunks(kept.matrix, np.sort(cells.rows), scratch):
            check.add(part)
            sums.append(part.sum(axis=1, dtype=np.float64))
            yield part

    rows = StoredRows.write(scratch / "cells", read(), len(symbols.names))
    is_counts = check.is_counts(symbols.names, kept.matrix.others)
    _note_values(is_counts, kept.matrix.layer, choices)

    # Rows are stored in the order of the file, cells are in that of their names: the rank of each.
    row_index = np.argsort(np.argsort(cells.rows))
    groups = [row_index[cells.cells_of(label)] for label in (CONTROL, *kept.split["train"])]
    reference = np.sort(np.concatenate(groups))
    perturbed = {gene for name in cells.perturbations for gene in genes_of(name)}
    chosen = select_cell_genes(rows.some(reference), symbols, perturbed, choices.n_genes, is_counts)
    note_genes(symbols, len(chosen))
    gene_index = np.full(len(symbols.names), -1, dtype=np.int32)
    gene_index[chosen] = np.arange(len(chosen))
    library_sizes = np.concatenate(sums)
    median_counts = float(np.median(library_sizes[reference])) if is_counts else None
    expression = StoredExpression(
        rows=rows,
        row_index=row_index,
        gene_index=gene_index,
        n_genes=len(chosen),
        scale=None if median_counts is None else _scale(library_sizes, median_counts, choices.target_sum),
    )
    return symbols.names[chosen], expression, median_counts


def _scale(
    library_sizes: FloatArray, median_counts: float, target_sum: float | Literal["median", "none"]
) -> FloatArray:
    """Compute what scales each cell's counts, (n_cells,), and say how far from its counts that is."""
    if target_sum == "none":
        _LOGGER.info(f"counts are not scaled; their median is {median_counts:,.0f} per cell")
        return np.ones_like(library_sizes)
    # Cells without any count have nothing to scale.
    target = max(median_counts, 1.0) if target_sum == "median" else float(target_sum)
    _LOGGER.info(f"counts are scaled to {target:,.0f} per cell; their median is {median_counts:,.0f}")
    if target > FAR_FROM_COUNTS * median_counts:
        _LOGGER.warning(
            f"counts are scaled up {target / max(median_counts, 1):,.0f}-fold, so that single counts weigh "
            "much, as in a panel of few genes: --target-sum median keeps to the data's own"
        )
    return scale_counts(library_sizes, target)


def _note_values(is_counts: bool, layer: str | None, choices: PrepareChoices) -> None:
    # scanpy keeps log values of all genes in .raw; the scaled X next to them is of no use here.
    if choices.counts_layer not in (None, RAW) and not is_counts:
        raise InputError(
            f"--counts-layer must hold raw counts, but '{choices.counts_layer}' holds fractions. Name "
            "a layer of whole numbers; for log values, make them X and name no layer."
        )
    if choices.target_sum != LIBRARY_SIZE and not is_counts:
        raise InputError(
            f"--target-sum scales raw counts, but {describe_layer(layer)} holds log values, which are taken "
            "as they are. Leave it out, or name a layer of counts with --counts-layer."
        )
    values = "counts: normalised and logged" if is_counts else "log values: taken as they are"
    _LOGGER.info(f"{describe_layer(layer)} holds {values}")


def _write_controls(
    folder: Path, expression: StoredExpression, cells: LabelledCells, min_batch_controls: int
) -> MatchedControls:
    controls = cells.cells_of(CONTROL)
    batch_index = cells.batch_index[controls]
    sums = GroupSums.zeros(len(cells.batches), expression.n_genes)
    with CellWriter(folder) as written:
        for chunk, part in expression.chunks(controls):
            written.append_cells(part, 0, batch_index[chunk])
            sums.add(part, batch_index[chunk])
    return match_controls(sums, cells.batch_lines, min_batch_controls)


def _call_all_degs(
    expression: StoredExpression, cells: LabelledCells, choices: PrepareChoices
) -> dict[str, BoolArray]:
    """Call every perturbation's DEGs against the controls of the cell lines it occurs in."""
    p_values = {name: np.ones(expression.n_genes) for name in cells.perturbations}
    for controls, names in _comparisons(cells):
        groups = [controls, *(cells.cells_of(name) for name in names)]
        # Blocks of genes in which the largest group of cells has about TESTED_AT_ONCE values.
        n_blocks = min(1 + max(map(expression.n_values, groups)) // TESTED_AT_ONCE, expression.n_genes)
        edges = np.linspace(0, expression.n_genes, n_blocks + 1).astype(int).tolist()
        for genes in (slice(start, stop) for start, stop in pairwise(edges)):
            test = DEG_TESTS[choices.deg_test](expression.of(controls, genes))
            for name in names:
                own_cells = expression.of(cells.cells_of(name), genes)
                p_values[name][genes] = test(own_cells).p_values
    return {name: call_degs(p_values[name], choices.deg_adjust) for name in p_values}


def _comparisons(cells: LabelledCells) -> Iterator[tuple[IntArray, list[str]]]:
    """Yield control cells, and the perturbations that are tested against them."""
    by_lines: dict[frozenset[str], list[str]] = {}
    for name in cells.perturbations:
        own = np.unique(cells.batch_index[cells.cells_of(name)])
        by_lines.setdefault(frozenset(cells.batch_lines[own].tolist()), []).append(name)
    controls = cells.cells_of(CONTROL)
    control_lines = cells.batch_lines[cells.batch_index[controls]]
    for lines, names in by_lines.items():
        is_own = np.isin(control_lines, sorted(lines))
        yield controls[is_own] if is_own.any() else controls, names


def _measure_effects(
    names: Sequence[str],
    expression: StoredExpression,
    cells: LabelledCells,
    matched: MatchedControls,
    deg_masks: Mapping[str, BoolArray],
    written: CellWriter,
) -> Iterator[Effect]:
    """Measure perturbations one after the other, and write their cells on the way."""
    for number, name in enumerate(names):
        own = cells.cells_of(name)
        batches, group = np.unique(cells.batch_index[own], return_inverse=True)
        sums = GroupSums.zeros(len(batches), expression.n_genes)
        for chunk, part in expression.chunks(own):
            written.append_cells(part, number, cells.batch_index[own[chunk]])
            sums.add(part, group[chunk])
        yield measure_effect(sums, batches, matched.batch_mean, deg_masks[name])
