import numpy as np
import pytest
from fixtures.dataset import build_tiny_dataset
from sklearn.kernel_ridge import KernelRidge

from adapert.models.reference import REFERENCE_MODELS
from adapert.models.reference.ridge import PENALTIES, RidgeModel, embedding_table, spectral_embedding

DATASET = build_tiny_dataset(splits=(10, 5, 3))
TRAIN, VALIDATION = DATASET.splits["train"].table, DATASET.splits["validation"].table


@pytest.mark.parametrize("name", REFERENCE_MODELS)
def test_a_reference_model_predicts_every_perturbation_and_never_reads_the_test_split(name):
    model = REFERENCE_MODELS[name]()
    without_test = build_tiny_dataset(splits=(10, 5, 3))
    del without_test.splits["test"]
    model.fit(without_test)
    predicted = model.predict(["G00", "G14", "G00+G03"])
    assert predicted.shape == (3, DATASET.n_genes)
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(model.predict(["G14"])[0], predicted[1])


def test_control_predicts_no_change_and_mean_the_training_mean():
    control, mean = REFERENCE_MODELS["control"](), REFERENCE_MODELS["mean"]()
    for model in (control, mean):
        model.fit(DATASET)
    assert not control.predict(["G00"]).any()
    expected = sum(TRAIN.delta[row] for row in range(10)) / 10
    np.testing.assert_allclose(mean.predict(["G00", "G01"]), [expected, expected], rtol=1e-6)


@pytest.mark.parametrize("features", ["text", "network", "both"])
def test_ridge_equals_scikit_learns(features):
    model = RidgeModel(features)
    model.fit(DATASET)
    table = embedding_table(DATASET.shared, features)

    def embed(names):
        return np.stack([table[DATASET.perturbed_nodes(name)].sum(axis=0) for name in names])

    centre = TRAIN.delta.mean(axis=0)
    reference = KernelRidge(alpha=model.penalty, kernel="linear")
    reference.fit(embed(TRAIN.perturbations), TRAIN.delta - centre)
    expected = reference.predict(embed(VALIDATION.perturbations)) + centre
    np.testing.assert_allclose(model.predict(list(VALIDATION.perturbations)), expected, atol=1e-6)


def test_ridge_takes_the_penalty_of_best_validation_pearson_delta():
    model = RidgeModel("text")
    model.fit(DATASET)
    scores = {}
    for penalty in PENALTIES:
        model._solve(TRAIN.delta - TRAIN.delta.mean(axis=0), penalty)
        predicted = model.predict(list(VALIDATION.perturbations))
        pairs = zip(predicted, VALIDATION.delta, strict=True)
        scores[penalty] = np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])
    assert max(scores, key=scores.get) == model.penalty


def test_spectral_embedding_puts_isolated_genes_at_zero_and_others_on_the_unit_sphere():
    lengths = np.linalg.norm(spectral_embedding(DATASET.shared), axis=1)
    assert lengths[14] == 0
    np.testing.assert_allclose(lengths[:14], 1)
