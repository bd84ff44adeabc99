import numpy as np
import pytest
from fixtures.dataset import hold_out_combinations
from sklearn.linear_model import LinearRegression

from adapert.data.prepared import PreparedDataset
from adapert.models.reference.additive import AdditiveModel


@pytest.fixture
def model(dataset: PreparedDataset) -> AdditiveModel:
    fitted = AdditiveModel()
    fitted.fit(dataset)
    return fitted


def delta_of(dataset: PreparedDataset, name: str) -> np.ndarray:
    table = dataset.splits["train"].table
    return np.asarray(table.delta[table.perturbations.tolist().index(name)])


def test_a_combination_is_the_sum_of_its_genes_alone(dataset: PreparedDataset, model: AdditiveModel) -> None:
    expected = delta_of(dataset, "G00") + delta_of(dataset, "G02")
    np.testing.assert_allclose(model.predict(["G00+G02"])[0], expected, rtol=1e-6)


def test_a_combination_of_the_training_split_is_not_looked_up(
    dataset: PreparedDataset, model: AdditiveModel
) -> None:
    mean_gene = model.predict(["G08"])[0]
    expected = delta_of(dataset, "G01") + mean_gene  # G13 was perturbed beside G01 only
    np.testing.assert_allclose(model.predict(["G01+G13"])[0], expected, rtol=1e-6)


def test_an_unseen_gene_counts_as_the_mean_gene(dataset: PreparedDataset, model: AdditiveModel) -> None:
    table = dataset.splits["train"].table
    total = np.zeros(dataset.n_genes)
    for name, delta in zip(table.perturbations, table.delta, strict=True):
        total += delta / len(name.split("+"))
    np.testing.assert_allclose(model.predict(["G08"])[0], total / 10, rtol=1e-6)


def test_a_sum_of_genes_is_a_linear_regression_on_which_genes_are_perturbed() -> None:
    dataset = hold_out_combinations()
    table = dataset.splits["train"].table
    singles = [row for row, name in enumerate(table.perturbations.tolist()) if "+" not in name]
    names = table.perturbations[singles].tolist()

    def indicators(perturbations: list[str]) -> np.ndarray:
        return np.array([[float(gene in each.split("+")) for gene in names] for each in perturbations])

    linear = LinearRegression(fit_intercept=False).fit(indicators(names), table.delta[singles])
    combinations = ["G00+G03", "G01+G13", "G02+G05"]
    model = AdditiveModel()
    model.fit(dataset)
    np.testing.assert_allclose(
        model.predict(combinations), linear.predict(indicators(combinations)), atol=1e-5
    )
