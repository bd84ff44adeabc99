"""The effect of each perturbation: its cells compared with the controls matched to them."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from adapert.data.array_tables import CellTable
from adapert.data.effect_size import group_effect_sizes
from adapert.data.formats.array_folder import FolderWriter
from adapert.data.labels.understood import Understood
from adapert.data.prepared import PreparedSplit
from adapert.data.schema import BoolArray, FloatArray, IntArray, SplitName, StringArray
from adapert.errors import format_count

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Sufficient statistics of one perturbation; a group is its cells in one matching group.

    Attributes:
        delta: Mean perturbed minus mean matched control, log1p units, (n_genes,).
        deg_mask: Differentially expressed genes, (n_genes,).
        group_batch_index: Matching group of each group, (n_groups,).
        group_mean: Mean expression, log1p units, (n_groups, n_genes).
        group_n_cells: (n_groups,).
    """

    delta: FloatArray
    deg_mask: BoolArray
    group_batch_index: IntArray
    group_mean: FloatArray
    group_n_cells: IntArray


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that a data file holds, before network and text are joined to it.

    Attributes:
        gene_names: Genes kept, in the order of their names, (n_genes,).
        splits: Perturbations and cells of each split.
        control_cells: Unperturbed cells.
        control_mean: Mean control profile, log1p units, (n_genes,).
        batches: Names of the matching groups, (n_batches,).
        batch_control_mean: Mean of the controls matched to each group, (n_batches, n_genes).
        guessed: Columns and layers that were guessed, by the choice they stand for.
        understood: What the labels were taken for.
        median_counts: Of controls and training cells; ``None`` where there are no counts.
    """

    gene_names: StringArray
    splits: Mapping[SplitName, PreparedSplit]
    control_cells: CellTable
    control_mean: FloatArray
    batches: StringArray
    batch_control_mean: FloatArray
    guessed: Mapping[str, str]
    understood: Understood
    median_counts: float | None = None


@dataclass(frozen=True, kw_only=True)
class MatchedControls:
    """Control profiles to compare with.

    Attributes:
        mean: Over all controls, log1p units, (n_genes,).
        batch_mean: Mean of the controls matched to each group, (n_batches, n_genes).
    """

    mean: FloatArray
    batch_mean: FloatArray


@dataclass(frozen=True, kw_only=True)
class GroupSums:
    """Sums of expression over the cells of each group, to which cells are added in chunks.

    Attributes:
        sums: log1p units, (n_groups, n_genes).
        n_cells: Cells of each group, (n_groups,).
    """

    sums: FloatArray
    n_cells: IntArray

    @classmethod
    def zeros(cls, n_groups: int, n_genes: int) -> "GroupSums":
        """Start with no cells."""
        return cls(sums=np.zeros((n_groups, n_genes)), n_cells=np.zeros(n_groups, dtype=np.int64))

    def add(self, expression: scipy.sparse.csr_array, group: IntArray) -> None:
        """Add cells, log1p units, (n_cells, n_genes), to their groups, (n_cells,).

        One after the other, so that the same cells in any chunks give the same sums.
        """
        n_genes = self.sums.shape[1]
        place = np.repeat(group.astype(np.int64) * n_genes, np.diff(expression.indptr)) + expression.indices
        np.add.at(self.sums.reshape(-1), place, expression.data.astype(np.float64))
        np.add.at(self.n_cells, group, 1)


def match_controls(controls: GroupSums, batch_lines: StringArray, min_batch_controls: int) -> MatchedControls:
    """Find each matching group's control profile; warn of groups that others' controls stand in for.

    A group with fewer than `min_batch_controls` of its own `controls` takes those of its cell line (from
    `batch_lines`, (n_batches,)), or all where these are too few as well.
    """
    sums, counts, n_batches = controls.sums, controls.n_cells, len(batch_lines)
    batch_mean = np.empty(sums.shape, dtype=np.float32)
    for batch in range(n_batches):
        same_line = batch_lines == batch_lines[batch]
        candidates = (np.arange(n_batches) == batch, same_line, np.ones(n_batches, dtype=bool))
        pool = next((p for p in candidates if counts[p].sum() >= min_batch_controls), candidates[-1])
        batch_mean[batch] = sums[pool].sum(axis=0) / counts[pool].sum()
    if n_few := int((counts < min_batch_controls).sum()):
        _LOGGER.warning(
            f"{n_few} of {n_batches} matching groups have fewer than "
            f"{format_count(min_batch_controls, 'control')}: those of the cell line, or all, stand in"
        )
    mean = (sums.sum(axis=0) / counts.sum()).astype(np.float32)
    return MatchedControls(mean=mean, batch_mean=batch_mean)


def measure_effect(
    groups: GroupSums, batches: IntArray, batch_control_mean: FloatArray, deg_mask: BoolArray
) -> Effect:
    """Average a perturbation's cells by matching group, and their difference from controls over cells.

    Args:
        groups: Sums of the perturbation's cells by matching group.
        batches: Number of each of these matching groups, (n_groups,).
        batch_control_mean: From `match_controls`, (n_batches, n_genes).
        deg_mask: Differentially expressed genes, (n_genes,).
    """
    counts = groups.n_cells
    means = groups.sums / counts[:, None]
    delta = counts @ (means - batch_control_mean[batches]) / counts.sum()
    return Effect(
        delta=delta.astype(np.float32),
        deg_mask=deg_mask,
        group_batch_index=batches.astype(np.int32),
        group_mean=means.astype(np.float32),
        group_n_cells=counts.astype(np.int32),
    )


def write_effects(
    writer: FolderWriter, names: Sequence[str], effects: Iterable[Effect], bounds: tuple[float, float]
) -> None:
    """Write one split's perturbations as they are measured, as a `PerturbationTable`; each is a family."""
    for number, effect in enumerate(effects):
        n_groups = len(effect.group_n_cells)
        writer.append("delta", effect.delta[None])
        writer.append("deg_mask", effect.deg_mask[None])
        writer.append("n_cells", effect.group_n_cells.sum(keepdims=True, dtype=np.int32))
        writer.append("effect_size", group_effect_sizes(effect.deg_mask.sum()[None], bounds))
        writer.append("group_perturbation_index", np.full(n_groups, number, dtype=np.int32))
        writer.append("group_batch_index", effect.group_batch_index)
        writer.append("group_mean", effect.group_mean)
        writer.append("group_n_cells", effect.group_n_cells)
    writer.append("perturbations", np.array(names, dtype=str))
    writer.append("family", np.array(names, dtype=str))
