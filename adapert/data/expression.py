"""Expression of cells: recognised as counts or log values, normalised as it is read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from adapert.data.formats.stored import StoredRows
from adapert.data.row_chunks import starts_of
from adapert.data.schema import BoolArray, FloatArray, IntArray, StringArray
from adapert.errors import InputError, name_some

LOG_MAXIMUM = 20.0
"""Above any log1p or log2 of a share of a million; values beyond it were not logged."""


REFUSED: Mapping[str, Callable[[FloatArray], BoolArray]] = {
    "NaN": np.isnan,
    "infinite": np.isinf,
    "below 0": lambda values: values < 0,
}
"""Masks of the values that expression must not have."""


@dataclass
class ValueCheck:
    """The kind of some values, seen chunk by chunk: counts, log values, or nothing to work with.

    Attributes:
        has_values: Whether any value is not zero.
        is_whole: Whether all are whole numbers.
        maximum: The largest finite one.
        refused: Number of values of each kind of `REFUSED`, and the column of the first.
    """

    has_values: bool = False
    is_whole: bool = True
    maximum: float = 0.0
    refused: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, matrix: scipy.sparse.csr_array) -> None:
        """See the next values, (n_rows of the chunk, n_genes)."""
        if not matrix.nnz:
            return
        self.has_values = True
        lowest, highest = matrix.data.min(), matrix.data.max()
        if not 0 <= lowest <= highest < np.inf:  # also false where one is NaN
            for kind, is_refused in REFUSED.items():
                is_bad = is_refused(matrix.data)
                if is_bad.any():
                    count, first = self.refused.get(kind, (0, int(matrix.indices[np.argmax(is_bad)])))
                    self.refused[kind] = count + int(is_bad.sum()), first
        else:
            self.maximum = max(self.maximum, float(highest))
            self.is_whole = self.is_whole and bool((np.rint(matrix.data) == matrix.data).all())

    def check_finite(self, gene_names: StringArray, what: str, cure: str) -> None:
        """Refuse NaN and infinite values with a sentence of `what` they are, their first gene and the `cure`.

        Raises:
            InputError: NaN or infinite values.
        """
        self._refuse("NaN", gene_names, f"{what} must be numbers", cure)
        self._refuse("infinite", gene_names, f"{what} must be finite", cure)

    def is_counts(self, gene_names: StringArray, layers: Sequence[str]) -> bool:
        """Tell counts from log values, and refuse everything else.

        Args:
            gene_names: (n_genes,).
            layers: The file's other layers, to name in an error.

        Returns:
            Whether the values are counts (all integers), not log values (none above `LOG_MAXIMUM`).

        Raises:
            InputError: NaN, infinite or negative values, nothing but zeros, or values that were
                normalised but not logged.
        """
        other = f"or read another layer with --counts-layer ({name_some(layers)})" if layers else ""
        cure = f"Correct the file{f', {other}' if other else ''}."
        self.check_finite(gene_names, "Expression", cure)
        self._refuse("below 0", gene_names, "Expression must not be negative", cure)
        if not self.has_values:
            raise InputError(f"Expression must not be zero everywhere, but it is. {cure}")
        if not self.is_whole and self.maximum > LOG_MAXIMUM:
            raise InputError(
                f"Expression must be raw counts or log values, but these are fractions of up to "
                f"{self.maximum:g}: normalised, not logged. Apply log1p first{f', {other}' if other else ''}."
            )
        return self.is_whole

    def _refuse(self, kind: str, gene_names: StringArray, rule: str, cure: str) -> None:
        count, first = self.refused.get(kind, (0, 0))
        if count:
            values = "1 value is" if count == 1 else f"{count:,} values are"
            raise InputError(f"{rule}, but {values} {kind}, the first in gene '{gene_names[first]}'. {cure}")


@dataclass(frozen=True, kw_only=True)
class StoredExpression:
    """Expression of the kept cells and genes, normalised as it is read from disk.

    Attributes:
        rows: Values of the kept cells over all genes of the file.
        row_index: Row of each cell, (n_cells,).
        gene_index: Kept gene of each gene of the file, -1 for the others, (n_genes of the file,).
        n_genes: Number of kept genes.
        scale: What scales each row's counts before log1p, (n_rows,); ``None`` for log values.
    """

    rows: StoredRows
    row_index: IntArray
    gene_index: IntArray
    n_genes: int
    scale: FloatArray | None

    def of(self, cells: IntArray, genes: slice = slice(None)) -> scipy.sparse.csr_array:
        """Read some cells in some of the kept genes, log1p units, float32, (n_cells, n_genes)."""
        parts = [part for _, part in self.chunks(cells, genes)]
        if len(parts) == 1:
            return parts[0]
        return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))

    def chunks(
        self, cells: IntArray, genes: slice = slice(None)
    ) -> Iterator[tuple[slice, scipy.sparse.csr_array]]:
        """Read as `of` in chunks of cells; yields the place of each in `cells`, and its expression."""
        rows = self.row_index[cells]
        for start, stop in self.rows.cut(rows):
            yield slice(start, stop), self._read(rows[start:stop], genes)

    def n_values(self, cells: IntArray) -> int:
        """Count the values of some cells over all genes of the file."""
        return int(self.rows.lengths(self.row_index[cells]).sum())

    def _read(self, rows: IntArray, genes: slice) -> scipy.sparse.csr_array:
        first, stop, _ = genes.indices(self.n_genes)
        stored = self.rows.take(rows)
        gene = self.gene_index[stored.indices]
        is_kept = (gene >= first) & (gene < stop)
        lengths = np.diff(starts_of(is_kept)[stored.indptr])
        values = stored.data[is_kept]
        if self.scale is not None:
            values = np.log1p(values * np.repeat(self.scale[rows], lengths)).astype(np.float32)
        return scipy.sparse.csr_array(
            (values, gene[is_kept] - first, starts_of(lengths)), shape=(len(rows), stop - first)
        )


def scale_counts(library_sizes: FloatArray, target_sum: float) -> FloatArray:
    """Compute the factors, (n_cells,), that scale cells of these counts, (n_cells,), to one sum.

    Finite for a cell without counts, which stays zeros.
    """
    return target_sum / np.where(library_sizes > 0, library_sizes, 1)
