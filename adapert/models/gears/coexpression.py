"""The graph of genes that are expressed together: whose correlation over training cells is large."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from adapert.data.differential import Expression
from adapert.data.prepared import PreparedDataset
from adapert.data.row_chunks import VALUES_AT_ONCE
from adapert.data.schema import FloatArray, IntArray
from adapert.models.gears.graph_convolution import normalised_adjacency
from adapert.models.sparse_product import SparseProduct
from adapert.seeding import numpy_generator

MOST_CELLS = 10_000
"""Training cells that correlations are computed of: their standard error is then below .01."""


class Partners(NamedTuple):
    """The genes that each gene is expressed with, the most correlated first.

    Attributes:
        source: Genes, 0 where there are fewer, (n_genes, top_k).
        weight: Absolute correlations, 0 where there are fewer, (n_genes, top_k).
    """

    source: IntArray
    weight: FloatArray

    @classmethod
    def none(cls, n_genes: int, top_k: int) -> "Partners":
        """No partner of any gene."""
        shape = n_genes, min(top_k, n_genes - 1)
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.float32))


class Coexpression(nn.Module):
    """The product with the normalised adjacency of partners, which the weights file holds.

    Nothing else of a trained model says what they were: no training cell is at hand where it predicts.
    """

    def __init__(self, partners: Partners) -> None:
        super().__init__()
        self.source: Tensor
        self.weight: Tensor
        self.register_buffer("source", torch.from_numpy(partners.source))
        self.register_buffer("weight", torch.from_numpy(partners.weight))
        self.register_load_state_dict_post_hook(_build_again)  # type: ignore[no-untyped-call]
        self.product = self._build()

    def _build(self) -> SparseProduct:
        source, weight = self.source.cpu().numpy(), self.weight.cpu().numpy()
        target, place = np.nonzero(weight)
        adjacency = normalised_adjacency(source[target, place], target, weight[target, place], len(source))
        return SparseProduct(adjacency).to(self.source.device)

    def forward(self, h: Tensor) -> Tensor:
        """Multiply, (n_genes, size)."""
        return self.product(h)  # type: ignore[no-any-return]


def _build_again(module: nn.Module, incompatible: Any) -> None:
    assert isinstance(module, Coexpression)
    module.product = module._build()


def find_partners(dataset: PreparedDataset, threshold: float, top_k: int, seed: int) -> Partners:
    """Find each gene's partners among the training cells, or `MOST_CELLS` of them that the seed draws.

    In a table of responses, training perturbations stand in for cells, and their deltas for expression.

    Args:
        dataset: With a training split.
        threshold: Least absolute correlation, above 0.
        top_k: Most partners of a gene.
        seed: The trial's.
    """
    split = dataset.splits["train"]
    is_cells = dataset.manifest.kind == "cells"
    expression = split.cells.expression(dataset.n_genes) if is_cells else split.table.delta
    order = numpy_generator(seed, "co-expression").permutation(expression.shape[0])
    return correlate_genes(expression, np.sort(order[:MOST_CELLS]), threshold, top_k)


def correlate_genes(expression: Expression, rows: IntArray, threshold: float, top_k: int) -> Partners:
    """Find the genes with the largest absolute Pearson correlations; that of a constant gene is 0.

    Args:
        expression: (n_rows, n_genes); a chunk of it is read at a time.
        rows: Rows to correlate over, ascending.
        threshold: As in `find_partners`.
        top_k: As in `find_partners`.
    """
    n_rows, n_genes = len(rows), expression.shape[1]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in _dense_parts(expression, rows)) / n_rows
    squares = sum(np.square(part - mean).sum(axis=0) for part in _dense_parts(expression, rows))
    norm = np.sqrt(squares)
    scale = np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
    source, weight = Partners.none(n_genes, top_k)
    n_at_once = max(1, VALUES_AT_ONCE // n_genes)
    for start in range(0, n_genes, n_at_once):
        block = slice(start, min(start + n_at_once, n_genes))
        correlation = np.zeros((block.stop - start, n_genes), np.float32)
        for part in _dense_parts(expression, rows):
            standard = ((part - mean) * scale).astype(np.float32)
            correlation += standard[:, block].T @ standard
        strength = np.abs(correlation)
        strength[np.arange(len(strength)), np.arange(start, block.stop)] = 0
        strength[strength < threshold] = 0
        best = np.argsort(-strength, axis=1, kind="stable")[:, : source.shape[1]]
        weight[block] = np.take_along_axis(strength, best, axis=1)
        source[block] = np.where(weight[block] > 0, best, 0)
    return Partners(source, weight)


def _dense_parts(expression: Expression, rows: IntArray) -> Iterator[FloatArray]:
    n_at_once = max(1, VALUES_AT_ONCE // expression.shape[1])
    for start in range(0, len(rows), n_at_once):
        part = expression[rows[start : start + n_at_once]]
        yield part if isinstance(part, np.ndarray) else part.toarray()
