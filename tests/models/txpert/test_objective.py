from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, build_tiny_dataset
from torch import Tensor

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.targets import build_targets
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

SMALL = {
    "model.name": "txpert",
    "txpert.n_layers": 2,
    "txpert.size": 5,
    "txpert.latent_size": 4,
    "txpert.hidden_size": 6,
    "txpert.dropout": 0.0,
}
DATASET = build_tiny_dataset()
CPU = torch.device("cpu")

NewTxPert = Callable[..., Training]


@pytest.fixture
def new_txpert() -> NewTxPert:
    """Build the training of a small TxPert on a data set of cells."""

    def build(changes: dict[str, Any], dataset: PreparedDataset = DATASET) -> Training:
        return Training(Config().with_changes(SMALL | changes), dataset, 0, CPU)

    return build


def losses_of(training: Training) -> dict[str, Tensor]:
    rows = training.objective.rows
    index = np.arange(len(rows.perturbation_index))
    return minibatch_losses(training, rows.minibatch(index, training.order_generator))[0]


def gradients(training: Training, loss: Tensor) -> list[Tensor]:
    parameters = [p for p in training.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("basal", ["mlp", "none"])
@pytest.mark.parametrize("control", ["mean", "batch_mean"])
def test_the_gradient_on_means_is_that_of_a_plain_loop_over_cells(
    new_txpert: NewTxPert, control: str, basal: str, norm: str
) -> None:
    training = new_txpert({"data.control": control, "txpert.basal": basal, "txpert.norm": norm})
    losses = losses_of(training)
    train_split, shared = DATASET.splits["train"], DATASET.shared
    expression = train_split.cells.expression(N_GENES).toarray()
    row, over_cells = torch.zeros(1, dtype=torch.int64), torch.zeros(())
    for cell, perturbation in enumerate(train_split.cells.perturbation_index):
        matched = shared.batch_control_mean[train_split.cells.batch_index[cell]]
        shown = shared.control_mean if control == "mean" else matched
        targets = build_targets(DATASET, [str(train_split.table.perturbations[perturbation])], CPU)
        predicted = training.network(targets, row, torch.from_numpy(shown)[None], row).delta[0]
        error = (predicted - torch.from_numpy(expression[cell] - matched)).square().mean()
        over_cells = over_cells + error / len(train_split.cells)
    assert losses["loss_recon"] < over_cells  # by the cells' spread around their means
    for of_means, of_cells in zip(
        gradients(training, losses["loss_total"]), gradients(training, over_cells), strict=True
    ):
        torch.testing.assert_close(of_means, of_cells, rtol=1e-3, atol=1e-5)


def test_the_loss_is_the_squared_error_alone_unless_the_penalty_has_a_weight(new_txpert: NewTxPert) -> None:
    plain = losses_of(new_txpert({"loss.lambda_non": 0.7}))  # AdaPert's, which TxPert does not read
    assert torch.equal(plain["loss_total"], plain["loss_recon"])
    assert "loss_align" not in plain
    penalised = losses_of(new_txpert({"txpert.lambda_non": 0.05}))
    torch.testing.assert_close(
        penalised["loss_total"], penalised["loss_recon"] + 0.05 * penalised["loss_non"]
    )
    assert penalised["loss_non"] > 0


def test_the_penalty_has_the_settings_of_its_section(new_txpert: NewTxPert) -> None:
    absolute = {"txpert.huber_delta": 0.01, "txpert.huber_delta_unit": "absolute"}
    assert new_txpert(absolute).resolved["resolved_huber_delta"] == 0.01
    summed = losses_of(new_txpert(absolute))["loss_non"]
    mean = losses_of(new_txpert(absolute | {"txpert.non_deg_reduction": "mean"}))["loss_non"]
    assert summed > mean > 0
