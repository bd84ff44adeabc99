"""Response tables measured: perturbations by genes, deltas instead of cells."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.array_tables import CellTable
from adapert.data.choices import PrepareChoices
from adapert.data.columns import N_CELLS, PERTURBATION, filter_rows, find_column, texts
from adapert.data.effect_size import EffectSizeGroups, effect_size_bounds
from adapert.data.effects import Effect, Measured, write_effects
from adapert.data.expression import ValueCheck
from adapert.data.formats.array_folder import FolderWriter
from adapert.data.formats.matrices import RAW, AnnotatedFile, check_layer, read_annotations, read_matrix
from adapert.data.genes import GeneSymbols, note_genes, read_symbols, select_response_genes
from adapert.data.labels.rule import LEFT_OUT, LabelRule
from adapert.data.labels.understood import Understood, note_dates, note_rare, understand_column
from adapert.data.prepared import CELL_FOLDER, CONTROL_FOLDER, read_cells
from adapert.data.schema import CONTROL, SPLITS, BoolArray, FloatArray, IntArray, StringArray, genes_of
from adapert.data.splits import Split, choose_split
from adapert.data.units import RESPONSE_UNITS
from adapert.errors import InputError, name_some

_LOGGER = logging.getLogger(__name__)

SIGNIFICANT_LAYER = "significant"
"""The layer that is taken to mark DEGs where none is named."""

REPEATED_CURE = "Average their rows, or keep one of each with --where."


@dataclass(frozen=True, kw_only=True)
class LabelledResponses:
    """The rows that are kept, in the order of their names.

    Attributes:
        names: Canonical perturbations, sorted, (n_perturbations,).
        rows: Row in the file of each, (n_perturbations,).
        n_cells: Cells of each, (n_perturbations,); 1 where the file does not say.
        dropped: Perturbations with too few cells.
        understood: What the labels of all rows were taken for.
    """

    names: StringArray
    rows: IntArray
    n_cells: IntArray
    dropped: tuple[str, ...]
    understood: Understood


def measure_responses(
    path: Path,
    choices: PrepareChoices,
    rule: LabelRule,
    split_file: Path | None,
    folder: Path,
) -> Measured:
    """Read a table of responses and write it; there are no cells and the control profile is zero.

    `path` is an .h5ad file of perturbations by genes whose ``X`` is delta; the other arguments are those of
    `adapert.data.cells.measure_cells`.

    Raises:
        FileNotFoundError: No such file.
        InputError: Labels, genes or values that are not as described in the message.
    """
    file = read_annotations(path)
    layer = _find_significant_layer(file, choices)
    if choices.units is None:
        _LOGGER.info(
            f"captions say '{RESPONSE_UNITS}': name them with --units, such as --units 'log2 fold change'"
        )
    symbols = read_symbols(file.var, choices.gene_column)
    note_dates(symbols.names, rule)
    rule = rule.with_genes(symbols.names.tolist(), symbols.ids)
    column = find_column(file.obs, PERTURBATION, choices.perturbation_column)
    n_cells_column = find_column(file.obs, N_CELLS, choices.n_cells_column)
    labelled = _label_rows(file.obs, column, n_cells_column, choices, rule)
    split = choose_split(labelled.names.tolist(), rule, split_file, choices, labelled.dropped)
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch_") as scratch:
        names, delta, deg_mask = _read_deltas(file, layer, symbols, labelled, split, choices, Path(scratch))
    _write_responses(folder, split, labelled, delta, deg_mask, choices.effect_size_groups)
    control_cells, splits = read_cells(folder, SPLITS)
    guessed = {
        "perturbation_column": column,
        "n_cells_column": n_cells_column,
        "significant_layer": layer,
        "gene_column": symbols.column,
    }
    return Measured(
        gene_names=names,
        splits=splits,
        control_cells=control_cells,
        control_mean=np.zeros(len(names), dtype=np.float32),
        batches=np.array(["all"]),
        batch_control_mean=np.zeros((1, len(names)), dtype=np.float32),
        understood=labelled.understood,
        guessed=choices.guessed(guessed),
    )


def _find_significant_layer(file: AnnotatedFile, choices: PrepareChoices) -> str | None:
    layer = choices.significant_layer
    if not file.has_x:
        raise InputError(
            f"Responses must be X of the file, but '{file.path}' has none. Make them X and write it again "
            "with anndata."
        )
    check_layer(file, layer, "--significant-layer")
    if layer == RAW:
        raise InputError(f"--significant-layer must name a layer of X's genes, but {RAW} has its own.")
    if layer is not None:
        return layer
    if SIGNIFICANT_LAYER in file.layers:
        return SIGNIFICANT_LAYER
    _LOGGER.warning(f"no layer '{SIGNIFICANT_LAYER}': no gene is marked as a DEG")
    return None


def _label_rows(
    obs: pd.DataFrame,
    column: str | None,
    n_cells_column: str | None,
    choices: PrepareChoices,
    rule: LabelRule,
) -> LabelledResponses:
    rows = np.flatnonzero(filter_rows(obs, choices.where))
    labels = texts(obs.index.to_series() if column is None else obs[column]).iloc[rows]
    where = "the index" if column is None else f"'{column}'"
    understood = understand_column(labels, rule, where, "row", REPEATED_CURE)
    names = understood.names_of(labels)
    n_cells = _read_n_cells(obs, n_cells_column)[rows]

    is_control = np.isin(names, [CONTROL, LEFT_OUT])
    if understood.n_controls:
        _LOGGER.info("rows of controls are left out: responses are already differences")
    is_few = ~is_control & (n_cells < choices.min_cells) & (n_cells_column is not None)
    note_rare(sorted(names[is_few].tolist()), choices.min_cells)
    kept = np.flatnonzero(~is_control & ~is_few)
    distinct, counts = np.unique(names[kept], return_counts=True)
    if repeated := distinct[counts > 1].tolist():
        raise InputError(
            f"A response table must have one row per perturbation, but {len(repeated)} have several: "
            f"{name_some(repeated)}. {REPEATED_CURE}"
        )
    order = kept[np.argsort(names[kept])]
    return LabelledResponses(
        names=names[order],
        rows=rows[order],
        n_cells=n_cells[order],
        dropped=tuple(sorted(set(names[is_few]) - set(distinct))),
        understood=understood,
    )


def _read_n_cells(obs: pd.DataFrame, column: str | None) -> IntArray:
    if column is None:
        return np.ones(len(obs), dtype=np.int32)
    numbers = pd.to_numeric(obs[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    is_number = (numbers >= 0) & (numbers <= np.iinfo(np.int32).max) & (np.floor(numbers) == numbers)
    if not is_number.all():
        raise InputError(
            f"Numbers of cells must be whole numbers, but column '{column}' has others. Name another with "
            f"{N_CELLS.option}."
        )
    return numbers.astype(np.int32)


def _read_deltas(
    file: AnnotatedFile,
    layer: str | None,
    symbols: GeneSymbols,
    labelled: LabelledResponses,
    split: Split,
    choices: PrepareChoices,
    scratch: Path,
) -> tuple[StringArray, FloatArray, BoolArray]:
    """Read deltas and DEG marks, and choose genes on the training perturbations.

    Returns:
        Names of the genes, (n_genes,); delta and DEG marks, (n_perturbations, n_genes).
    """
    in_file = np.argsort(labelled.rows)
    position = np.argsort(in_file)
    responses = read_matrix(file.matrix(None), labelled.rows[in_file], scratch)
    check = ValueCheck()
    check.add(responses)
    check.check_finite(symbols.names, "Responses", "Correct or leave out these values in the file.")
    candidates = np.flatnonzero(symbols.is_first)
    delta = responses.toarray()[position][:, candidates]
    deg_mask = np.zeros(delta.shape, dtype=bool)
    if layer is not None:
        marks = read_matrix(file.matrix(layer), labelled.rows[in_file], scratch)
        _check_marks(marks, layer, symbols.names)
        deg_mask = marks.toarray()[position][:, candidates] != 0

    training = np.flatnonzero(np.isin(labelled.names, split["train"]))
    perturbed = {gene for name in labelled.names.tolist() for gene in genes_of(name)}
    kept = select_response_genes(
        delta[training], deg_mask[training], symbols.names[candidates], perturbed, choices.n_genes
    )
    note_genes(symbols, len(kept))
    return symbols.names[candidates][kept], delta[:, kept], deg_mask[:, kept]


def _check_marks(marks: scipy.sparse.csr_array, layer: str, gene_names: StringArray) -> None:
    """Refuse what marks no DEGs: p-values, which would all count as marks, and NaN."""
    is_bad = ~(np.isfinite(marks.data) & (np.rint(marks.data) == marks.data))
    if n_bad := int(is_bad.sum()):
        values = "1 value that is none" if n_bad == 1 else f"{n_bad:,} values that are none"
        raise InputError(
            f"Marks of DEGs must be whole numbers, 0 for no DEG, but '{layer}' holds {values}, the first in "
            f"'{gene_names[marks.indices[np.argmax(is_bad)]]}'. Name a layer of marks with "
            "--significant-layer, such as whether a p-value is below 0.05."
        )


def _write_responses(
    folder: Path,
    split: Split,
    labelled: LabelledResponses,
    delta: FloatArray,
    deg_mask: BoolArray,
    groups: EffectSizeGroups,
) -> None:
    """Write each split as cells would be: a perturbation is one group, whose mean is its response."""
    row_of = {name: row for row, name in enumerate(labelled.names.tolist())}
    training = deg_mask[[row_of[name] for name in split["train"]]]
    bounds = effect_size_bounds(groups, deg_mask.shape[1], training.sum(axis=1))
    n_cells = labelled.n_cells.astype(np.int32)
    CellTable.empty().write(folder / CONTROL_FOLDER)
    for part in SPLITS:
        effects = (
            Effect(
                delta=delta[row],
                deg_mask=deg_mask[row],
                group_batch_index=np.zeros(1, dtype=np.int32),
                group_mean=delta[[row]],
                group_n_cells=n_cells[[row]],
            )
            for row in (row_of[name] for name in split[part])
        )
        with FolderWriter(folder / part) as table:
            write_effects(table, split[part], effects, bounds)
        CellTable.empty().write(folder / part / CELL_FOLDER)
