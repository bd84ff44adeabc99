"""Rows picked from a table, as often as an index names them."""

from torch import Tensor


def pick_rows(table: Tensor, row: Tensor, dim: int = 0) -> Tensor:
    """Pick what a table has along a dimension, in the order of an index, (...), whose shape takes its place.

    On a CPU it is ``table[row]``, for whose gradient a GPU would sort the index at each step; elsewhere
    `index_select`, whose gradient is added to the rows as they come. In float32 the two are equal on a CPU.
    """
    if table.device.type == "cpu":
        return table[(slice(None),) * dim + (row,)]
    picked = table.index_select(dim, row.flatten())
    return picked.view(*table.shape[:dim], *row.shape, *table.shape[dim + 1 :])
