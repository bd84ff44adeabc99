from collections.abc import Sequence

import numpy as np
import pytest
from fixtures.builders import Correlate, Embed
from sklearn.neighbors import KNeighborsRegressor

from adapert.data.prepared import PreparedDataset
from adapert.models.reference.embedding import Features
from adapert.models.reference.neighbour import FEATURES, N_NEIGHBOURS, NeighbourModel, neighbour_weights


@pytest.fixture
def model(dataset: PreparedDataset) -> NeighbourModel:
    fitted = NeighbourModel()
    fitted.fit(dataset)
    return fitted


def scikit_learns(
    dataset: PreparedDataset, embed: Embed, wanted: Sequence[str], features: Features, n_neighbours: int
) -> np.ndarray:
    train = dataset.splits["train"].table
    reference = KNeighborsRegressor(n_neighbours, algorithm="brute")
    reference.fit(embed(features, train.perturbations.tolist()), train.delta)
    return np.asarray(reference.predict(embed(features, wanted)))


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("n_neighbours", [1, 3, 10])
def test_neighbours_equal_scikit_learns(
    dataset: PreparedDataset, embed: Embed, model: NeighbourModel, features: Features, n_neighbours: int
) -> None:
    model.features, model.n_neighbours = features, n_neighbours
    wanted = ["G02+G05", "G08", "G05", "G00+G10"]
    expected = scikit_learns(dataset, embed, wanted, features, n_neighbours)
    np.testing.assert_allclose(model.predict(wanted), expected, atol=1e-6)


def test_embedding_and_k_are_those_of_best_validation_pearson_delta(
    dataset: PreparedDataset, embed: Embed, model: NeighbourModel, mean_pearson: Correlate
) -> None:
    # G03 has no text: it gets the training mean, which scikit-learn does not know of.
    table = dataset.splits["validation"].table
    mean = dataset.splits["train"].table.delta.mean(axis=0)
    scores = {}
    for features in FEATURES:
        for n_neighbours in (k for k in N_NEIGHBOURS if k < 10):
            expected = scikit_learns(dataset, embed, table.perturbations.tolist(), features, n_neighbours)
            expected[(table.perturbations == "G03") & (features == "text")] = mean
            scores[features, n_neighbours] = mean_pearson(expected, table.delta)
    assert (model.features, model.n_neighbours) == max(scores, key=scores.__getitem__)


def test_a_perturbation_without_embedding_gets_the_training_mean(
    dataset: PreparedDataset, model: NeighbourModel
) -> None:
    model.features, model.n_neighbours = "text", 1
    expected = dataset.splits["train"].table.delta.mean(axis=0)
    np.testing.assert_allclose(model.predict(["G03"])[0], expected, rtol=1e-6)


def test_of_equally_near_perturbations_the_earlier_counts() -> None:
    weights = neighbour_weights(np.array([[1.0, 0.0]]), np.array([[0.0, 1], [1, 0], [1, 0]]), 1)
    assert weights.tolist() == [[0, 1, 0]]
