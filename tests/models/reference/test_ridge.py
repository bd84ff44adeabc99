import numpy as np
import pytest
from fixtures.builders import Correlate, Embed
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
