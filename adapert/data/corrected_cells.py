"""Single cells without what their batch adds, read from their files a part at a time."""

from collections.abc import Iterator

from adapert.data import row_chunks
from adapert.data.array_tables import CellTable, SharedTable
from adapert.data.schema import FloatArray, IntArray


class CorrectedCells:
    """Expression of cells less what the controls of their batch differ from all controls, on average.

    A cell x of batch b is x - (mean control of b - mean control). In a data set of one batch it is x.
    """

    def __init__(self, cells: CellTable, shared: SharedTable) -> None:
        """Look at cells, whose values stay where they are.

        Raises:
            InputError: As `CellTable.expression`.
        """
        self.expression = cells.expression(int(shared.n_genes))
        self.batch_index = cells.batch_index
        self.control_mean, self.batch_control_mean = shared.control_mean, shared.batch_control_mean

    def take(self, rows: IntArray | slice) -> FloatArray:
        """Read some cells, log1p units, (n_rows, n_genes)."""
        added = self.batch_control_mean[self.batch_index[rows]] - self.control_mean
        corrected: FloatArray = self.expression[rows].toarray() - added
        return corrected

    def parts(self) -> Iterator[tuple[slice, FloatArray]]:
        """Read all cells, at most `VALUES_AT_ONCE` values (or one cell) at a time.

        Yields:
            Which rows they are, and their expression, log1p units, (n_rows, n_genes).
        """
        n_cells, n_genes = self.expression.shape
        n_at_once = max(1, row_chunks.VALUES_AT_ONCE // n_genes)
        for start in range(0, n_cells, n_at_once):
            rows = slice(start, min(start + n_at_once, n_cells))
            yield rows, self.take(rows)
