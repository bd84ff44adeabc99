import numpy as np
import pytest
from fixtures.dataset import change_train

from adapert.data.prepared import PreparedDataset
from adapert.models.reference.mean import MeanModel


@pytest.fixture
def model(dataset: PreparedDataset) -> MeanModel:
    fitted = MeanModel()
    fitted.fit(dataset)
    return fitted


def changes(dataset: PreparedDataset) -> list[tuple[str, np.ndarray]]:
    """Each training cell's name and y - x_(c,b), in a loop over cells as TxPert's equations sum."""
    split = dataset.splits["train"]
    expression = split.cells.expression(dataset.n_genes).toarray()
    rows = zip(expression, split.cells.perturbation_index, split.cells.batch_index, strict=True)
    return [
        (split.table.perturbations[p], cell - dataset.shared.batch_control_mean[b]) for cell, p, b in rows
    ]


def test_a_seen_perturbation_gets_the_mean_over_its_own_cells(
    dataset: PreparedDataset, model: MeanModel
) -> None:
    for name in ("G06", "G01+G13"):
        own = [change for perturbation, change in changes(dataset) if perturbation == name]
        np.testing.assert_allclose(model.predict([name])[0], sum(own) / len(own), atol=1e-6)


def test_an_unseen_perturbation_gets_the_mean_over_all_training_cells(
    dataset: PreparedDataset, model: MeanModel
) -> None:
    every = [change for _, change in changes(dataset)]
    np.testing.assert_allclose(model.predict(["G08"])[0], sum(every) / len(every), atol=1e-6)


def test_an_unseen_combination_adds_each_gene_s_mean_or_the_global_one(model: MeanModel) -> None:
    unseen, g00, g02 = model.predict(["G08", "G00", "G02"])
    np.testing.assert_allclose(model.predict(["G00+G02"])[0], g00 + g02, atol=1e-9)
    np.testing.assert_allclose(model.predict(["G02+G05"])[0], g02 + unseen, atol=1e-9)
    np.testing.assert_allclose(model.predict(["G05+G08"])[0], 2 * unseen, atol=1e-9)


def test_perturbations_weigh_by_their_cells(dataset: PreparedDataset) -> None:
    n_cells = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 991])
    fitted = MeanModel()
    fitted.fit(change_train(dataset, n_cells=n_cells))
    last, others = (dataset.splits["train"].table.delta[rows] for rows in (9, slice(9)))
    expected = 0.991 * last + 0.001 * others.sum(axis=0)
    np.testing.assert_allclose(fitted.predict(["G08"])[0], expected, atol=1e-6)
