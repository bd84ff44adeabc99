from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, build_tiny_dataset, change_train
from torch import Tensor

from adapert.config import Config
from adapert.data.central_moments import measure_central_moments
from adapert.data.prepared import PreparedDataset
from adapert.models.gears.objective import power_loss, squared_error
from adapert.models.network import Prediction
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

DATASET = build_tiny_dataset()
SMALL = {"model.name": "gears", "gears.size": 4}


def changes_of(dataset: PreparedDataset, number: int) -> np.ndarray:
    """Expression of a training perturbation's cells minus their matched mean control, float64."""
    cells = dataset.splits["train"].cells
    rows = np.flatnonzero(cells.perturbation_index == number)
    expression = cells.expression(N_GENES).toarray()[rows].astype(np.float64)
    changes: np.ndarray = expression - dataset.shared.batch_control_mean[cells.batch_index[rows]]
    return changes


def in_double() -> PreparedDataset:
    """The data set with deltas of double precision."""
    n_perturbations = len(DATASET.splits["train"].table.perturbations)
    delta = np.stack([changes_of(DATASET, number).mean(axis=0) for number in range(n_perturbations)])
    return change_train(DATASET, delta=delta)


@pytest.mark.parametrize("exponent", [2, 4])
def test_loss_and_gradient_of_moments_are_those_of_a_loop_over_cells(exponent: int) -> None:
    dataset = in_double()
    moments = measure_central_moments(dataset)
    powers = [torch.tensor(each) for each in (moments.second, moments.third, moments.fourth)]
    delta = torch.from_numpy(dataset.splits["train"].table.delta)
    predicted = torch.randn(delta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    predicted.requires_grad_()
    loss = (
        squared_error(delta - predicted, powers[0])
        if exponent == 2
        else power_loss(delta - predicted, *powers)
    )
    for number, own in enumerate(loss):
        changes = torch.from_numpy(changes_of(dataset, number))
        over_cells = torch.zeros(N_GENES, dtype=torch.float64)
        for change in changes:
            over_cells = over_cells + (change - predicted[number]) ** exponent / len(changes)
        torch.testing.assert_close(own, over_cells, rtol=1e-10, atol=1e-10)
        gradients = [
            torch.autograd.grad(value.sum(), predicted, retain_graph=True)[0] for value in (own, over_cells)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


def losses_of(dataset: PreparedDataset, **changes: Any) -> tuple[dict[str, Tensor], Prediction]:
    training = Training(Config().with_changes(SMALL | changes), dataset, 0, torch.device("cpu"))
    rows = training.objective.rows
    index = np.arange(len(rows.perturbation_index))
    return minibatch_losses(training, rows.minibatch(index, training.order_generator))


def test_the_loss_is_a_mean_over_cells_and_the_direction_a_term_of_it() -> None:
    losses, prediction = losses_of(DATASET, **{"gears.direction": "tanh", "gears.direction_weight": 0.3})
    recon, direction, n_cells = 0.0, 0.0, len(DATASET.splits["train"].cells)
    for number, predicted in enumerate(prediction.delta.detach().numpy()):
        for change in changes_of(DATASET, number):
            recon += float(((change - predicted) ** 4).mean()) / n_cells
            direction += float(((np.sign(change) - np.tanh(predicted)) ** 2).mean()) / n_cells
    assert losses["loss_recon"].item() == pytest.approx(recon, rel=1e-5)
    assert losses["loss_direction"].item() == pytest.approx(direction, rel=1e-5)
    assert losses["loss_total"].item() == pytest.approx(recon + 0.3 * direction, rel=1e-5)
    plain, _ = losses_of(DATASET)
    assert torch.equal(plain["loss_total"], losses["loss_recon"])


@pytest.mark.parametrize("exponent", [2, 4])
def test_of_responses_the_power_is_that_of_the_mean(exponent: int) -> None:
    responses = replace(DATASET, manifest=replace(DATASET.manifest, kind="responses"))
    losses, prediction = losses_of(responses, **{"gears.exponent": exponent})
    table = responses.splits["train"].table
    each = (table.delta - prediction.delta.detach().numpy()) ** exponent
    expected = float(np.average(each.mean(axis=1), weights=table.n_cells))
    assert losses["loss_total"].item() == pytest.approx(expected, rel=1e-5)
