"""Embeddings of perturbations by text, by the network, or both: what reference models know of a gene."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.gene_kernels import network_coordinates

Features: TypeAlias = Literal["text", "network", "both"]

SPECTRAL_SIZE = 64

EDGES = GraphConfig(top_k=20, edge_weight="uniform")
"""Edges that the network's spectrum is of: what AdaPert is compared with does not follow its settings."""


class PerturbationEmbedding:
    """Embed perturbations: the sum of their genes' rows of `embedding_table`."""

    def __init__(self, dataset: PreparedDataset, features: Features, embeddings: str = "") -> None:
        self._dataset = dataset
        self._table = embedding_table(dataset.shared, features, embeddings)

    def __call__(self, perturbations: Sequence[str]) -> FloatArray:
        """Embed, (n_perturbations, size); zeros for a perturbation that the features know nothing of.

        Raises:
            InputError: A gene that is not a node of the data set.
        """
        return np.stack(
            [self._table[self._dataset.perturbed_nodes(str(name))].sum(axis=0) for name in perturbations]
        )


def embedding_table(shared: SharedTable, features: Features, embeddings: str = "") -> FloatArray:
    """Embed every graph node by text, by the first network's spectrum, or by both side by side.

    Args:
        shared: The data set's sources.
        features: Which of the two.
        embeddings: Sources that stand for text, side by side, as ``data.embeddings`` of a config names them.

    Returns:
        (n_nodes, size); each part's rows are L2-normalised, or zero where a gene has none.
    """
    parts: list[FloatArray] = [np.zeros((len(shared.node_names), 0))]
    if features in ("text", "both"):
        sources = shared.picked_vectors(embeddings)
        parts += [np.asarray(source.embedding, dtype=np.float64) for source in sources]
    if features in ("network", "both"):
        parts.append(network_coordinates(shared, EDGES, "spectral", SPECTRAL_SIZE))
    return np.concatenate(parts, axis=1)
