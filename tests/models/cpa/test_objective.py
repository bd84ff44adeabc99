from collections.abc import Iterable

import numpy as np
import pytest
import torch
from fixtures.builders import SmallCpa
from fixtures.dataset import N_GENES, build_tiny_dataset
from fixtures.linear import make_linear
from fixtures.narrowed import of_kind
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import cross_entropy

from adapert.config import Config
from adapert.models.cpa.model import CpaPrediction
from adapert.models.cpa.objective import CpaObjective, reverse_gradient
from adapert.models.network import Batch
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

DATASET = build_tiny_dataset()
N_PERTURBATIONS = len(DATASET.splits["train"].table.perturbations)
N_CELLS, SIZE = 40, 3


def gradients(loss: Tensor, parameters: Iterable[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(parameters), retain_graph=True, allow_unused=True)
    return [torch.zeros(1) if gradient is None else gradient for gradient in found]


def test_without_effects_and_adversary_a_linear_network_is_principal_components(
    small_cpa: SmallCpa, small_config: Config
) -> None:
    scales = np.linspace(2, 0.3, N_GENES)
    generator = torch.Generator().manual_seed(0)
    cells = torch.randn(N_CELLS, N_GENES, generator=generator).numpy() * scales
    pca = PCA(SIZE).fit(cells)
    changes = {"cpa.hidden_size": 2 * N_GENES, "cpa.lambda_adversary": 0.0}
    model = small_cpa(changes)
    make_linear(model.encoder, pca.components_, np.zeros(SIZE))
    make_linear(model.decoder, pca.components_.T, np.zeros(N_GENES))
    model.centre = torch.from_numpy(pca.mean_).float()
    x = torch.from_numpy(cells).float()
    basal = model.encode(x)
    reconstructed = model.decode(basal)
    prediction = CpaPrediction(reconstructed[::2] - x[1::2], {}, x, reconstructed, basal)
    row = torch.zeros(N_CELLS // 2, dtype=torch.long)
    objective = CpaObjective(DATASET, small_config.with_changes(changes), 0)
    losses = objective(prediction, Batch(row[:1], row, x[::2], row + 1.0))
    error = np.square(cells - pca.inverse_transform(pca.transform(cells))).mean()
    assert losses["loss_recon"].item() == pytest.approx(error, rel=1e-5)
    # And no map is better: the loss is stationary in both, along what keeps them linear.
    for perceptron in (model.encoder, model.decoder):
        n_inputs = perceptron.first.in_features
        (gradient,) = gradients(losses["loss_total"], [perceptron.second.weight])
        along = gradient[:, :n_inputs] - gradient[:, n_inputs : 2 * n_inputs]
        assert along.abs().max() < 1e-6
    assert error > 0.1


def test_the_adversary_descends_its_own_loss_and_the_encoder_ascends_it(small_config: Config) -> None:
    changes = {"cpa.lambda_adversary": 3.0, "cpa.gradient_penalty": 2.0}
    training = Training(small_config.with_changes(changes), DATASET, 0, torch.device("cpu"))
    minibatch = training.objective.rows.minibatch(np.arange(20), training.order_generator)
    losses, found = minibatch_losses(training, minibatch)
    prediction, objective = of_kind(CpaPrediction, found), of_kind(CpaObjective, training.objective)
    label = torch.from_numpy(np.append(minibatch.perturbation_index, [N_PERTURBATIONS] * 20)).long()
    found_out = cross_entropy(objective.adversary(prediction.basal, None), label)
    penalty = objective.penalty(prediction.basal.detach(), label)
    recon = (prediction.reconstructed - prediction.profiles).square().mean()
    torch.testing.assert_close(losses["loss_total"], recon + found_out + 2 * penalty)
    for loss, parameters in (
        (found_out + 2 * penalty, objective.adversary.parameters()),
        (recon - 3 * found_out, training.network.parameters()),
    ):
        own = [p for p in parameters if p.requires_grad]
        for turned, expected in zip(gradients(losses["loss_total"], own), gradients(loss, own), strict=True):
            torch.testing.assert_close(turned, expected, rtol=1e-4, atol=1e-7)


def test_the_penalty_is_the_squared_gradient_cell_by_cell(small_config: Config) -> None:
    objective = CpaObjective(DATASET, small_config, 0)
    basal = torch.randn(5, SIZE, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([0, 3, N_PERTURBATIONS, 1, 0])
    squares, step = [], 1e-3
    with torch.no_grad():
        for cell, own in zip(basal, label, strict=True):
            moved = cell + step * torch.cat([torch.eye(SIZE), -torch.eye(SIZE)])
            log_p = torch.log_softmax(objective.adversary(moved, None).double(), dim=1)[:, own]
            slopes = (log_p[:SIZE] - log_p[SIZE:]) / (2 * step)
            squares.append(slopes.square().sum().item())
    assert objective.penalty(basal, label).item() == pytest.approx(np.mean(squares), rel=1e-3)


def test_a_turned_gradient_leaves_values_alone() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    turned = reverse_gradient(x, 0.5)
    torch.testing.assert_close(turned, x)
    (gradient,) = torch.autograd.grad((turned * torch.tensor([3.0, 4.0])).sum(), x)
    assert gradient.tolist() == [-1.5, -2.0]
