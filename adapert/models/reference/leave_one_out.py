"""Kernel ridge whose kernel and penalties are learned on the leave-one-out error of training."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.adapert.adjacency import build_adjacency
from adapert.models.gene_kernels import (
    Members,
    half_squared_distances,
    network_coordinates,
    unit_rows,
)
from adapert.models.optimizers import without_compiler

SIZE = 256
"""Eigenvectors of the network."""

SPECTRUM_EDGES = GraphConfig()
"""Edges that the eigenvectors are of."""

DIFFUSION_EDGES = GraphConfig(top_k=5, edge_weight="confidence")
"""Edges along which text is diffused; the gene itself is one of its own."""

GROUP_STARTS = (0, 16, 64)
"""First principal component of the training deltas in each group that has a penalty of its own."""

INTERCEPT = 10.0
"""Added to the kernel, so that a constant is next to free."""

PRIOR = 0.2
"""Weight of the squared logarithms of widths, weights and penalties, which keeps them near 1."""

Adam = without_compiler(torch.optim.Adam)

N_STEPS = 40

STEP = 0.1
"""Adam's."""


class LeaveOneOutKernelRidge:
    """Kernel ridge that learns how near genes are by predicting each training perturbation from the others.

    Genes have four kinds of coordinates z_i: text, `SIZE` eigenvectors of the network, and text diffused over
    the network once and twice; and one more for each further source of embeddings that is picked. With D_i
    half the squared distances of two genes:

        k = prod_i (1 + w_i exp(-g_i D_i)) - 1, scaled to 1 for a gene with itself

    and the kernel of two perturbations adds up that of their genes, and `INTERCEPT` once. Deltas, less the
    mean of them all and scaled to a mean squared length of 1, are rotated to their principal components C, in
    groups of a penalty l_j each. Leaving out perturbation p costs no further fit: its error is
    (K_j^-1 C)_p / (K_j^-1)_pp with K_j = k + l_j I. The sum of squared errors and
    `PRIOR` (|log g|^2 + |log w|^2 + |log l|^2), divided by the number of perturbations, is minimised by
    `N_STEPS` steps of Adam. Neither chance nor the validation split has a part in it.
    """

    is_seeded = False

    def __init__(self, embeddings: str = "") -> None:
        self._sources = embeddings

    def fit(self, dataset: PreparedDataset) -> None:
        """Learn the kernel, and solve for the training perturbations."""
        train = dataset.splits["train"].table
        self._dataset = dataset
        self._coordinates = gene_coordinates(dataset.shared, self._sources)
        self._members = Members(dataset, list(train.perturbations))
        delta = np.asarray(train.delta, dtype=np.float64)
        self._mean = delta.mean(axis=0)
        left, lengths, directions = np.linalg.svd(delta - self._mean, full_matrices=False)
        scale = np.sqrt((lengths**2).sum() / len(delta)) or 1.0
        components = torch.from_numpy(left * lengths / scale)
        distances, has = self._distances(self._members), torch.from_numpy(self._members.has)
        n_groups = sum(start < len(lengths) for start in GROUP_STARTS)
        self._settings = _Settings(len(self._coordinates), n_groups)
        self._settings.learn(distances, has, components)
        with torch.no_grad():
            kernel = self._settings.kernel(distances, has, has)
            solved = [
                torch.linalg.solve(kernel + penalty * torch.eye(len(kernel), dtype=kernel.dtype), group)
                for penalty, group in self._settings.groups(components)
            ]
        self._coefficients = torch.cat(solved, dim=1).numpy() * scale @ directions

    def refit(self, dataset: PreparedDataset) -> None:
        """Fit again from scratch: the kernel is learned on the larger training split too."""
        self.fit(dataset)

    def chosen(self) -> dict[str, float | str]:
        """Return nothing: validation chooses nothing."""
        return {}

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        wanted = Members(self._dataset, perturbations)
        with torch.no_grad():
            kernel = self._settings.kernel(
                self._distances(wanted), torch.from_numpy(wanted.has), torch.from_numpy(self._members.has)
            )
        predicted: FloatArray = kernel.numpy() @ self._coefficients + self._mean
        return predicted

    def _distances(self, wanted: Members) -> list[Tensor]:
        return [
            torch.from_numpy(half_squared_distances(rows[wanted.nodes], rows[self._members.nodes]))
            for rows in self._coordinates
        ]


def gene_coordinates(shared: SharedTable, embeddings: str = "") -> list[FloatArray]:
    """Place genes by text, by the first network, by text diffused over it, and by other sources.

    Args:
        shared: The data set's sources.
        embeddings: Sources as ``data.embeddings`` of a config names them, of which the first is the text.

    Returns:
        Four arrays of unit rows, and one for each further source, (n_nodes, size of each).
    """
    sources = [np.asarray(source.embedding, np.float64) for source in shared.picked_vectors(embeddings)]
    text, *others = sources or [np.zeros((len(shared.node_names), 1))]
    spectrum = network_coordinates(shared, SPECTRUM_EDGES, "spectral", SIZE)
    adjacency = build_adjacency(shared, DIFFUSION_EDGES, self_loops=True, seed=0)
    diffused, twice = adjacency @ text, adjacency @ (adjacency @ text)
    centred = [rows - rows.mean(axis=0) for rows in (diffused, twice)]
    return [unit_rows(text), spectrum, *map(unit_rows, centred), *map(unit_rows, others)]


class _Settings:
    """Widths and weights of the kinds of coordinates, and penalties of the groups, as logarithms."""

    def __init__(self, n_kinds: int, n_groups: int) -> None:
        self.log_width, self.log_weight, self.log_penalty = (
            torch.zeros(size, dtype=torch.float64, requires_grad=True)
            for size in (n_kinds, n_kinds, n_groups)
        )

    def parameters(self) -> list[Tensor]:
        """All that is learned."""
        return [self.log_width, self.log_weight, self.log_penalty]

    def kernel(self, distances: Sequence[Tensor], has: Tensor, others: Tensor) -> Tensor:
        """Kernel of perturbations from the distances of their genes, (n_perturbations, n_others)."""
        weight = self.log_weight.exp()
        near = [
            1 + w * torch.exp(-width * distance)
            for w, width, distance in zip(weight, self.log_width.exp(), distances, strict=True)
        ]
        of_genes = (torch.stack(near).prod(dim=0) - 1) / ((1 + weight).prod() - 1)
        return has @ of_genes @ others.T + INTERCEPT

    def groups(self, components: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each group's penalty and principal components, (n_perturbations, n_components of the group)."""
        penalties = self.log_penalty.exp()
        ends = [*GROUP_STARTS[: len(penalties)], components.shape[1]]
        return [
            (penalty, components[:, start:end])
            for penalty, (start, end) in zip(penalties, pairwise(ends), strict=True)
        ]

    def loss(self, distances: Sequence[Tensor], has: Tensor, components: Tensor) -> Tensor:
        """Leave-one-out error and prior, divided by the number of perturbations."""
        kernel = self.kernel(distances, has, has)
        own = torch.eye(len(kernel), dtype=kernel.dtype)
        total = PRIOR * torch.cat(self.parameters()).square().sum()
        for penalty, group in self.groups(components):
            inverse = torch.linalg.inv(kernel + penalty * own)
            errors = inverse @ group / inverse.diagonal()[:, None]
            total = total + (errors**2).sum()
        return total / len(components)

    def learn(self, distances: Sequence[Tensor], has: Tensor, components: Tensor) -> None:
        """Take the steps."""
        optimizer = Adam(self.parameters(), lr=STEP)
        for _ in range(N_STEPS):
            loss = self.loss(distances, has, components)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
