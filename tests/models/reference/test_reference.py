"""What holds for every reference model."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import build_tiny_dataset, change_train

from adapert.config import ModelName
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.models.reference import REFERENCE_MODELS

every_model = pytest.mark.parametrize("name", REFERENCE_MODELS)


@every_model
def test_a_reference_model_predicts_every_perturbation_without_the_test_split(
    dataset: PreparedDataset, name: ModelName
) -> None:
    model = REFERENCE_MODELS[name]()
    model.fit(dataset)
    assert not model.is_seeded
    predicted = model.predict(["G00", "G14", "G00+G03"])
    assert predicted.shape == (3, dataset.n_genes)
    assert np.isfinite(predicted).all()


@every_model
def test_a_prediction_does_not_depend_on_the_others_it_is_asked_with(
    dataset: PreparedDataset, name: ModelName
) -> None:
    model = REFERENCE_MODELS[name]()
    model.fit(dataset)
    among_others = model.predict(["G00", "G14", "G00+G03"])[1]
    np.testing.assert_allclose(model.predict(["G14"])[0], among_others, rtol=1e-12)


@every_model
def test_the_order_of_training_perturbations_changes_nothing(
    dataset: PreparedDataset, name: ModelName
) -> None:
    table = dataset.splits["train"].table
    order = np.random.default_rng(0).permutation(len(table.perturbations))
    fields = ("perturbations", "delta", "deg_mask", "n_cells", "effect_size")
    shuffled = change_train(dataset, **{field: getattr(table, field)[order] for field in fields})
    first, second = REFERENCE_MODELS[name](), REFERENCE_MODELS[name]()
    first.fit(dataset)
    second.fit(shuffled)
    wanted = ["G08", "G03", "G02+G05"]
    np.testing.assert_allclose(first.predict(wanted), second.predict(wanted), atol=1e-6)


@every_model
def test_one_training_perturbation_and_a_constant_validation_are_enough(name: ModelName) -> None:
    small = build_tiny_dataset(splits=(1, 1, 1))
    validation = small.splits["validation"]
    flat = replace(validation, table=replace(validation.table, delta=np.zeros_like(validation.table.delta)))
    model = REFERENCE_MODELS[name]()
    model.fit(replace(small, splits=dict(small.splits) | {"validation": flat}))
    assert np.isfinite(model.predict(["G00", "G14"])).all()


@pytest.mark.parametrize("name", ["neighbour", "ridge_text", "ridge_network", "ridge_both"])
def test_a_gene_that_is_no_node_is_refused_by_models_that_embed_it(
    dataset: PreparedDataset, name: ModelName
) -> None:
    model = REFERENCE_MODELS[name]()
    model.fit(dataset)
    with pytest.raises(InputError, match="but 'G99' is not"):
        model.predict(["G99"])


def test_control_predicts_no_change(dataset: PreparedDataset) -> None:
    model = REFERENCE_MODELS["control"]()
    model.fit(dataset)
    assert not model.predict(["G00"]).any()
