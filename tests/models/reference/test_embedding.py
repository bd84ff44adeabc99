import numpy as np
import pytest

from adapert.data.prepared import PreparedDataset
from adapert.models.reference.embedding import Features, PerturbationEmbedding


@pytest.mark.parametrize(("features", "size"), [("text", 6), ("network", 15), ("both", 21)])
def test_a_combination_is_the_sum_of_its_genes(
    dataset: PreparedDataset, features: Features, size: int
) -> None:
    embed = PerturbationEmbedding(dataset, features)
    first, second, both = embed(["G00", "G05", "G00+G05"])
    assert both.shape == (size,)
    np.testing.assert_allclose(both, first + second)
