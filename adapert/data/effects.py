"""What each perturbation's cells say, against the controls matched to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from adapert.data.effect_size import EffectSizeGroups, effect_size_bounds, group_effect_sizes
from adapert.data.prepared import CellTable, PerturbationTable, PreparedSplit
from adapert.data.schema import SPLITS, BoolArray, FloatArray, IntArray, SplitName, StringArray
from adapert.data.splits import Split


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Sufficient statistics of one perturbation; a group is its cells in one matching group.

    Attributes:
        delta: Mean perturbed minus mean matched control, log1p units, (n_genes,).
        deg_mask: Differentially expressed genes, (n_genes,).
        n_cells: Cells of the perturbation.
        group_batch_index: Matching group of each group, (n_groups,).
        group_mean: Mean expression, log1p units, (n_groups, n_genes).
        group_n_cells: (n_groups,).
    """

    delta: FloatArray
    deg_mask: BoolArray
    n_cells: int
    group_batch_index: IntArray
    group_mean: FloatArray
    group_n_cells: IntArray


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that a data file gives, before network and text are joined to it.

    Attributes:
        gene_names: Genes kept, in the order of their names, (n_genes,).
        splits: Perturbations and cells of each split.
        control_cells: Unperturbed cells.
        control_mean: Mean control profile, log1p units, (n_genes,).
        batches: Names of the matching groups, (n_batches,).
        batch_control_mean: Mean of the controls matched to each group, (n_batches, n_genes).
        guessed: Columns and layers that were guessed, by the choice they stand for.
    """

    gene_names: StringArray
    splits: Mapping[SplitName, PreparedSplit]
    control_cells: CellTable
    control_mean: FloatArray
    batches: StringArray
    batch_control_mean: FloatArray
    guessed: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class MatchedControls:
    """Control profiles to compare with.

    Attributes:
        mean: Over all controls, log1p units, (n_genes,).
        batch_mean: Of the controls matched to each group, (n_batches, n_genes).
        n_matched_outside: Groups with too few controls of their own.
    """

    mean: FloatArray
    batch_mean: FloatArray
    n_matched_outside: int


def match_controls(
    expression: scipy.sparse.csr_array,
    batch_index: IntArray,
    batch_lines: StringArray,
    min_batch_controls: int,
) -> MatchedControls:
    """Find each matching group's control profile.

    A group with fewer controls than asked for takes those of its cell line, and if these are too
    few as well, all.

    Args:
        expression: Control cells, log1p units, (n_controls, n_genes).
        batch_index: Matching group of each control, (n_controls,).
        batch_lines: Cell line of each matching group, (n_batches,).
        min_batch_controls: Controls that are enough.
    """
    n_batches = len(batch_lines)
    sums = np.zeros((n_batches, expression.shape[1]))
    for batch in np.unique(batch_index):
        sums[batch] = expression[batch_index == batch].sum(axis=0, dtype=np.float64)
    counts = np.bincount(batch_index, minlength=n_batches)
    batch_mean = np.empty(sums.shape, dtype=np.float32)
    for batch in range(n_batches):
        same_line = batch_lines == batch_lines[batch]
        candidates = (np.arange(n_batches) == batch, same_line, np.ones(n_batches, dtype=bool))
        pool = next((p for p in candidates if counts[p].sum() >= min_batch_controls), candidates[-1])
        batch_mean[batch] = sums[pool].sum(axis=0) / counts[pool].sum()
    return MatchedControls(
        mean=(sums.sum(axis=0) / counts.sum()).astype(np.float32),
        batch_mean=batch_mean,
        n_matched_outside=int((counts < min_batch_controls).sum()),
    )


def measure_effect(
    expression: scipy.sparse.csr_array,
    batch_index: IntArray,
    batch_control_mean: FloatArray,
    deg_mask: BoolArray,
) -> Effect:
    """Average a perturbation's cells by matching group, and their difference from controls over cells.

    Args:
        expression: The perturbation's cells, log1p units, (n_cells, n_genes).
        batch_index: Matching group of each cell, (n_cells,).
        batch_control_mean: From `match_controls`, (n_batches, n_genes).
        deg_mask: Differentially expressed genes, (n_genes,).
    """
    batches, counts = np.unique(batch_index, return_counts=True)
    sums = np.stack([expression[batch_index == batch].sum(axis=0, dtype=np.float64) for batch in batches])
    means = sums / counts[:, None]
    delta = counts @ (means - batch_control_mean[batches]) / counts.sum()
    return Effect(
        delta=delta.astype(np.float32),
        deg_mask=deg_mask,
        n_cells=int(counts.sum()),
        group_batch_index=batches.astype(np.int32),
        group_mean=means.astype(np.float32),
        group_n_cells=counts.astype(np.int32),
    )


def build_tables(
    split: Split, effects: Mapping[str, Effect], groups: EffectSizeGroups
) -> dict[SplitName, PerturbationTable]:
    """Stack the effects of each split's perturbations and name their effect-size groups.

    Args:
        split: The perturbations of each split, in order.
        effects: Effect of every perturbation.
        groups: What makes an effect small, medium or large.
    """
    training = [effects[name].deg_mask for name in split["train"]]
    bounds = effect_size_bounds(groups, len(training[0]), np.sum(training, axis=1))
    return {part: _build_table(split[part], effects, bounds) for part in SPLITS}


def _build_table(
    names: Sequence[str], effects: Mapping[str, Effect], bounds: tuple[float, float]
) -> PerturbationTable:
    chosen = [effects[name] for name in names]
    deg_mask = np.stack([effect.deg_mask for effect in chosen])
    n_groups = [len(effect.group_n_cells) for effect in chosen]
    return PerturbationTable(
        perturbations=np.array(names, dtype=str),
        delta=np.stack([effect.delta for effect in chosen]),
        deg_mask=deg_mask,
        n_cells=np.array([effect.n_cells for effect in chosen], dtype=np.int32),
        effect_size=group_effect_sizes(deg_mask.sum(axis=1), bounds),
        group_perturbation_index=np.repeat(np.arange(len(chosen), dtype=np.int32), n_groups),
        group_batch_index=np.concatenate([effect.group_batch_index for effect in chosen]),
        group_mean=np.concatenate([effect.group_mean for effect in chosen]),
        group_n_cells=np.concatenate([effect.group_n_cells for effect in chosen]),
    )
