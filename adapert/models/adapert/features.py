"""What the network says of each gene before any message: its spectrum, and the text of its neighbours."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.encoders import TextTable
from adapert.models.gene_kernels import unit_rows
from adapert.models.network import to_tensor
from adapert.models.spectrum import NodeTable, build_spectrum

N_DIFFUSIONS = 2
"""Text is diffused over the network once, twice, ...: Eq. 6 without its weights."""


def build_network_features(
    dataset: PreparedDataset,
    config: Config,
    adjacency: scipy.sparse.csr_array,
    texts: Sequence[TextTable],
    seed: int,
) -> list[NodeTable]:
    """Build the features that ``model.node_features`` names beside text and the learnable table.

    Args:
        dataset: Without splits, trained weights bring the spectrum: eigenvectors differ between machines.
        config: Which features, of which edges.
        adjacency: Of the trial's graph, rows sum to 1.
        texts: As the trial has them, shuffled or not; the first is diffused.
        seed: The trial's.

    Returns:
        A table of the spectrum, then one of each diffusion, rows of length 1 or 0; none of what is not named.
    """
    tables = []
    if "spectral" in config.model.feature_parts:
        tables.append(build_spectrum(dataset, config.graph, config.model.spectral_size, seed))
    if "diffused" in config.model.feature_parts:
        with_itself = adjacency + scipy.sparse.eye_array(adjacency.shape[0])
        step = scipy.sparse.diags_array(1 / with_itself.sum(axis=1)) @ with_itself
        rows = np.asarray(texts[0].embedding, dtype=np.float64)
        for _ in range(N_DIFFUSIONS):
            rows = step @ rows
            tables.append(NodeTable(to_tensor(unit_rows(rows - rows.mean(axis=0))), is_kept=False))
    return tables
