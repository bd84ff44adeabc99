"""The product of a constant sparse matrix with a table of nodes, and its gradient."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn


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
        with torch.autocast(h.device.type, enabled=False):  # Sparse products are float32 only.
            return _Product.apply(self.matrix, self.transposed, h.to(self.matrix.dtype))  # type: ignore[no-any-return, no-untyped-call]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, h: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ gradients[0]


def _csr_tensor(matrix: scipy.sparse.sparray) -> Tensor:
    csr = scipy.sparse.csr_array(matrix)
    csr.sum_duplicates()  # also sorts the columns of each row, which torch relies on
    with warnings.catch_warnings():
        # torch calls its CSR support beta once a process; what is used of it here is tested.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(csr.indptr.astype(np.int64)),
            torch.from_numpy(csr.indices.astype(np.int64)),
            torch.from_numpy(csr.data.astype(np.float32)),
            size=csr.shape,
            check_invariants=True,
        )
