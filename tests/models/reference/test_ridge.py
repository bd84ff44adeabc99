import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from adapert.models.reference.ridge import PENALTIES, RidgeModel

every_feature = pytest.mark.parametrize("features", ["text", "network", "both"])


def scikit_learns(dataset, embed, features, penalty):
    """Predict the validation perturbations with scikit-learn's ridge."""
    train, validation = dataset.splits["train"].table, dataset.splits["validation"].table
    centre = train.delta.mean(axis=0)
    reference = KernelRidge(alpha=penalty, kernel="linear")
    reference.fit(embed(features, train.perturbations), train.delta - centre)
    return reference.predict(embed(features, validation.perturbations)) + centre


@every_feature
def test_ridge_equals_scikit_learns(dataset, embed, features):
    model = RidgeModel(features)
    model.fit(dataset)
    expected = scikit_learns(dataset, embed, features, model.penalty)
    predicted = model.predict(list(dataset.splits["validation"].table.perturbations))
    np.testing.assert_allclose(predicted, expected, atol=1e-6)


@every_feature
def test_ridge_takes_the_penalty_of_best_validation_pearson_delta(dataset, embed, mean_pearson, features):
    model = RidgeModel(features)
    model.fit(dataset)
    observed = dataset.splits["validation"].table.delta
    scores = {
        penalty: mean_pearson(scikit_learns(dataset, embed, features, penalty), observed)
        for penalty in PENALTIES
    }
    assert max(scores, key=scores.get) == model.penalty
