from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, build_tiny_dataset
from fixtures.narrowed import present
from sklearn.decomposition import PCA

from adapert.config import Config
from adapert.models.adapert.output import RESPONSE_LENGTH, Output, build_output

DATASET = build_tiny_dataset()
DELTA = DATASET.splits["train"].table.delta.astype(np.float64)


def output_of(changes: dict[str, Any]) -> Output:
    config = Config().with_changes({f"model.{name}": value for name, value in changes.items()})
    return build_output(DATASET, config.model)


def test_directions_are_those_of_a_principal_component_analysis() -> None:
    output, expected = output_of({"output_basis": 3}), PCA(3, svd_solver="full").fit(DELTA)
    basis = present(output.basis).double().numpy()
    lengths = np.linalg.norm(basis, axis=1)
    cosines = (basis / lengths[:, None] * expected.components_).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-5)
    np.testing.assert_allclose(output.offset, expected.mean_, atol=1e-6)


def test_coefficients_of_a_typical_response_have_the_wanted_length() -> None:
    output = output_of({"output_basis": N_GENES})
    centred = torch.from_numpy(DELTA - DELTA.mean(axis=0))
    coefficients = torch.linalg.lstsq(present(output.basis).double().T, centred.T, driver="gelsd").solution
    assert coefficients.square().sum(dim=0).mean().sqrt() == pytest.approx(RESPONSE_LENGTH, rel=1e-4)


@pytest.mark.parametrize("predict", ["delta", "expression"])
@pytest.mark.parametrize("offset", ["training_mean", "none"])
def test_a_basis_of_every_direction_reaches_every_training_response(predict: str, offset: str) -> None:
    output = output_of({"output_basis": 20, "predict": predict, "offset": offset})
    wanted = DELTA + (DATASET.shared.control_mean if predict == "expression" else 0)
    basis, own = present(output.basis).double(), output.offset.double()
    assert present(output.basis).shape == (20, N_GENES)
    coefficients = torch.linalg.lstsq(basis.T, (torch.from_numpy(wanted) - own).T, driver="gelsd").solution.T
    torch.testing.assert_close(coefficients @ basis + own, torch.from_numpy(wanted), rtol=1e-4, atol=1e-5)


def test_directions_that_are_rounding_are_left_out() -> None:
    basis = present(output_of({"output_basis": N_GENES}).basis)
    # Eight centred responses span seven directions.
    assert basis.norm(dim=1).gt(0).sum() == len(DELTA) - 1


def test_without_a_basis_the_decoder_gives_genes() -> None:
    output = output_of({"output_basis": 0})
    assert output.basis is None
    assert output.n_inputs == N_GENES
    decoded = torch.randn(2, 5, N_GENES)
    torch.testing.assert_close(output(decoded), decoded + output.offset)


@pytest.mark.parametrize("size", [0, 4])
def test_without_splits_shapes_are_those_of_the_trained_output(size: int) -> None:
    config = Config().with_changes({"model.output_basis": size}).model
    trained, untrained = build_output(DATASET, config), build_output(replace(DATASET, splits={}), config)
    untrained.load_state_dict(trained.state_dict())
    decoded = torch.randn(3, trained.n_inputs)
    assert torch.equal(untrained(decoded), trained(decoded))
