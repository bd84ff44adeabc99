"""The product of a constant sparse matrix with a table of nodes, and its gradient."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from adapert.models.precision import full_precision
from adapert.models.side_by_side import stack_trials


class SparseProduct(nn.Module):
    """Compute A @ h for a constant A that weights files leave out; its transpose serves the gradient."""

    def __init__(self, matrix: scipy.sparse.csr_array) -> None:
        """Keep the matrix, (n_rows, n_columns)."""
        super().__init__()
        self.matrix: Tensor
        self.transposed: Tensor
        self.register_buffer("matrix", _csr_tensor(matrix), persistent=False)
        self.register_buffer("transposed", _csr_tensor(matrix.T), persistent=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> "SparseProduct":
        """Share the matrix, which is constant; torch cannot copy sparse ones."""
        return self

    def forward(self, h: Tensor) -> Tensor:
        """Multiply, (n_columns, size) to (n_rows, size), in float32 under autocast too."""
        with full_precision(h.device):  # Sparse products are float32 only.
            return _product(self.matrix, self.transposed, h.to(self.matrix.dtype))


def _product(matrix: Tensor, transposed: Tensor, h: Tensor) -> Tensor:
    return _Product.apply(matrix, transposed, h)  # type: ignore[no-any-return, no-untyped-call]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(matrix: Tensor, transposed: Tensor, h: Tensor) -> Tensor:
        # cuSPARSE promises no order of its sums.
        is_ordered = h.device.type == "cpu" or not torch.are_deterministic_algorithms_enabled()
        return matrix @ h if is_ordered else ordered_product(matrix, h)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.matrix, ctx.transposed, _ = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _product(ctx.transposed, ctx.matrix, gradients[0])

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], matrix: Tensor, transposed: Tensor, h: Tensor
    ) -> tuple[Tensor, int]:
        """Multiply the tables of all trials at once: by one matrix, or by `block_diagonal` of theirs."""
        n_trials, (n_rows, n_columns) = info.batch_size, matrix.shape
        (tables,) = stack_trials(n_trials, in_dims[2:], [h])
        if n_columns == tables.shape[1]:
            wide = tables.movedim(0, 1).reshape(n_columns, -1)
            return _product(matrix, transposed, wide).view(n_rows, n_trials, -1), 1
        long = tables.reshape(n_columns, -1)
        return _product(matrix, transposed, long).view(n_trials, n_rows // n_trials, -1), 0


def ordered_product(matrix: Tensor, h: Tensor) -> Tensor:
    """Multiply a CSR matrix with a table, each row's terms in their order, on any device."""
    terms = matrix.values().unsqueeze(1) * h.index_select(0, matrix.col_indices())
    # A row without terms is 0. `unsafe` leaves out checks that would wait for the device.
    return torch.segment_reduce(terms, "sum", offsets=matrix.crow_indices(), axis=0, initial=0, unsafe=True)


def block_diagonal(matrices: Sequence[Tensor]) -> Tensor:
    """Join CSR matrices into one that multiplies tables that stand one below the other."""
    starts = np.cumsum([0] + [len(matrix.values()) for matrix in matrices])
    columns = np.cumsum([0] + [matrix.shape[1] for matrix in matrices])
    rows = [matrix.crow_indices()[1:] + int(start) for matrix, start in zip(matrices, starts, strict=False)]
    return torch.sparse_csr_tensor(
        torch.cat([matrices[0].crow_indices()[:1], *rows]),
        torch.cat([m.col_indices() + int(first) for m, first in zip(matrices, columns, strict=False)]),
        torch.cat([matrix.values() for matrix in matrices]),
        size=(sum(matrix.shape[0] for matrix in matrices), int(columns[-1])),
        check_invariants=True,
    )


def _csr_tensor(matrix: scipy.sparse.sparray) -> Tensor:
    csr = scipy.sparse.csr_array(matrix)
    csr.sum_duplicates()  # also sorts the columns of each row, which torch relies on
    with warnings.catch_warnings():
        # torch calls its CSR support beta once a process; what is used of it here is tested.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(csr.indptr.astype(np.int32)),  # what MKL and cuSPARSE are fastest with
            torch.from_numpy(csr.indices.astype(np.int32)),
            torch.from_numpy(csr.data.astype(np.float32)),
            size=csr.shape,
            check_invariants=True,
        )
