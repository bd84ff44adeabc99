"""What the references embed."""

from collections.abc import Sequence

import numpy as np
import pytest
from fixtures.builders import Correlate, Embed

from adapert.data.prepared import PreparedDataset
from adapert.models.reference.embedding import Features, embedding_table


@pytest.fixture(scope="session")
def embed(dataset: PreparedDataset) -> Embed:
    """Embed perturbations by a loop over their genes."""

    def rows(features: Features, perturbations: Sequence[str]) -> np.ndarray:
        table = embedding_table(dataset.shared, features)
        names = dataset.shared.node_names.tolist()
        return np.array([sum(table[names.index(gene)] for gene in p.split("+")) for p in perturbations])

    return rows


def mean_pearson(predicted: np.ndarray, observed: np.ndarray) -> float:
    pairs = zip(predicted, observed, strict=True)
    return float(np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs]))


@pytest.fixture(scope="session", name="mean_pearson")
def mean_pearson_fixture() -> Correlate:
    return mean_pearson
