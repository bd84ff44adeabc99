"""Kernel ridge with hyperparameters, from genes' text and place in the network to deltas."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.data.trial_graph import check_in_graph, has_chance
from adapert.models.encoders import text_order
from adapert.models.gene_kernels import Members, half_squared_distances, network_coordinates


class KernelRidge:
    """Kernel ridge whose settings are `Config.kernel_ridge` and the graph of `Config.graph`.

    With d_t and d_n the distances of two genes in text, the first picked source, and network
    (`network_coordinates`); where none is picked, all genes are in one place:

        k_t = exp(-text_gamma d_t^2),  k_n = exp(-network_gamma d_n^2)
        k = text_weight k_t + (1 - text_weight) k_n + product_weight k_t k_n
        k <- (1 + k) (1 + other_weight exp(-other_gamma d_o^2)) - 1, for each further source of embeddings
        delta(p) = mean + k(p, train) (k(train, train) + penalty I)^-1 (Delta - mean)

    and the kernel of two perturbations adds up that of their genes. Validation chooses nothing inside a fit.
    """

    def __init__(self, config: Config, seed: int = 0) -> None:
        self._config = config
        self._seed = seed
        self.is_seeded = has_chance(config)

    def fit(self, dataset: PreparedDataset) -> None:
        """Solve for the training perturbations."""
        settings, shared = self._config.kernel_ridge, dataset.shared
        train = dataset.splits["train"].table
        self._dataset = dataset
        sources = shared.picked_vectors(self._config.data.embeddings)
        order = text_order(dataset, self._config, self._seed)
        self._text, *self._others = [
            np.asarray(source.embedding, dtype=np.float64)[order] for source in sources
        ] or [np.zeros((dataset.n_nodes, 1))]
        self._network = network_coordinates(
            shared, self._config.graph, settings.network_kernel, settings.size, settings.time, self._seed
        )
        self._members = Members(dataset, list(train.perturbations))
        self._mean = np.asarray(train.delta, dtype=np.float64).mean(axis=0)
        kernel = self._kernel(self._members)
        self._coefficients = scipy.linalg.solve(
            kernel + settings.penalty * np.eye(len(kernel)), train.delta - self._mean, assume_a="pos"
        )

    def refit(self, dataset: PreparedDataset) -> None:
        """Fit again from scratch."""
        self.fit(dataset)

    def chosen(self) -> dict[str, float | str]:
        """Return nothing."""
        return {}

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        kernel = self._kernel(Members(self._dataset, perturbations))
        predicted: FloatArray = kernel @ self._coefficients + self._mean
        return predicted

    def _kernel(self, wanted: Members) -> FloatArray:
        """Kernel of perturbations and training perturbations, (n_perturbations, n_train)."""
        settings, train = self._config.kernel_ridge, self._members
        check_in_graph(self._dataset.shared, self._config.graph, wanted.nodes.tolist())
        text, network = (
            np.exp(-2 * gamma * half_squared_distances(rows[wanted.nodes], rows[train.nodes]))
            for rows, gamma in (
                (self._text, settings.text_gamma),
                (self._network, settings.network_gamma),
            )
        )
        of_genes = settings.text_weight * text + (1 - settings.text_weight) * network
        of_genes += settings.product_weight * text * network
        for rows in self._others:
            near = half_squared_distances(rows[wanted.nodes], rows[train.nodes])
            other = settings.other_weight * np.exp(-2 * settings.other_gamma * near)
            of_genes += other + of_genes * other
        kernel: FloatArray = wanted.has @ of_genes @ train.has.T
        return kernel
