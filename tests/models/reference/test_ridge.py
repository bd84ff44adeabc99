from collections.abc import Sequence

import numpy as np
import pytest
from fixtures.builders import Correlate, Embed
from fixtures.dataset import with_second_embeddings
from sklearn.kernel_ridge import KernelRidge

from adapert.data.prepared import PreparedDataset
from adapert.models.reference.embedding import Features
from adapert.models.reference.ridge import PENALTIES, RidgeModel

every_feature = pytest.mark.parametrize("features", ["text", "network", "both"])


def scikit_learns(dataset: PreparedDataset, embed: Embed, features: Features, penalty: float) -> np.ndarray:
    """Predict the validation perturbations with scikit-learn's ridge."""
    train, validation = dataset.splits["train"].table, dataset.splits["validation"].table
    centre = train.delta.mean(axis=0)
    reference = KernelRidge(alpha=penalty, kernel="linear")
    reference.fit(embed(features, train.perturbations.tolist()), train.delta - centre)
    predicted = reference.predict(embed(features, validation.perturbations.tolist()))
    return np.asarray(predicted + centre)


@every_feature
def test_ridge_equals_scikit_learns(dataset: PreparedDataset, embed: Embed, features: Features) -> None:
    model = RidgeModel(features)
    model.fit(dataset)
    expected = scikit_learns(dataset, embed, features, model.penalty)
    predicted = model.predict(list(dataset.splits["validation"].table.perturbations))
    np.testing.assert_allclose(predicted, expected, atol=1e-6)


def test_sources_stand_side_by_side_as_scikit_learns_features_do(dataset: PreparedDataset) -> None:
    both = with_second_embeddings(dataset)
    text, other = both.shared.picked_vectors("text+rpe1")
    table = np.concatenate([text.embedding, other.embedding], axis=1).astype(np.float64)
    names = both.shared.node_names.tolist()

    def embed(features: Features, perturbations: Sequence[str]) -> np.ndarray:
        return np.array([sum(table[names.index(gene)] for gene in p.split("+")) for p in perturbations])

    model = RidgeModel("text", "text+rpe1")
    model.fit(both)
    expected = scikit_learns(both, embed, "text", model.penalty)
    predicted = model.predict(list(both.splits["validation"].table.perturbations))
    np.testing.assert_allclose(predicted, expected, atol=1e-6)


def test_without_a_source_the_training_mean_is_left(dataset: PreparedDataset) -> None:
    model = RidgeModel("text", "none")
    model.fit(dataset)
    mean = dataset.splits["train"].table.delta.mean(axis=0)
    np.testing.assert_array_equal(model.predict(["G00"])[0], mean)


@every_feature
def test_ridge_takes_the_penalty_of_best_validation_pearson_delta(
    dataset: PreparedDataset, embed: Embed, mean_pearson: Correlate, features: Features
) -> None:
    model = RidgeModel(features)
    model.fit(dataset)
    observed = dataset.splits["validation"].table.delta
    scores = {
        penalty: mean_pearson(scikit_learns(dataset, embed, features, penalty), observed)
        for penalty in PENALTIES
    }
    assert max(scores, key=scores.__getitem__) == model.penalty
