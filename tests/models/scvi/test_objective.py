import numpy as np
import pytest
import torch
from fixtures.builders import SmallScvi
from fixtures.dataset import N_GENES, build_tiny_dataset
from fixtures.narrowed import of_kind
from sklearn.decomposition import PCA
from torch import Tensor
from torch.distributions import Normal

from adapert.config import Config
from adapert.models.network import Batch
from adapert.models.scvi.layers import HiddenLayers
from adapert.models.scvi.model import LEAST_SD, LEAST_VARIANCE, Scvi, ScviPrediction
from adapert.models.scvi.objective import ScviObjective
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

DATASET = build_tiny_dataset()
N_CELLS, SIZE = 40, 3
FAR = 60.0
"""Mean of cells whose decoded mean is far in the linear part of softplus."""


def make_linear(layers: HiddenLayers, n_inputs: int) -> None:
    """Let hidden units be relu(x) and relu(-x), of which W relu(x) - W relu(-x) = W x."""
    hidden, identity = of_kind(torch.nn.Linear, layers.maps[0]), torch.eye(n_inputs)
    torch.nn.init.zeros_(hidden.weight)
    torch.nn.init.zeros_(hidden.bias)
    hidden.weight.data[: 2 * n_inputs] = torch.cat([identity, -identity])
    for norm in layers.norms:
        if isinstance(norm, torch.nn.BatchNorm1d):
            of_kind(Tensor, norm.running_var).fill_(1 - norm.eps)


def set_map(linear: torch.nn.Linear, weight: np.ndarray, bias: np.ndarray) -> None:
    matrix = torch.from_numpy(weight).float()
    torch.nn.init.zeros_(linear.weight)
    linear.weight.data[:, : 2 * matrix.shape[1]] = torch.cat([matrix, -matrix], dim=1)
    linear.bias.data.copy_(torch.from_numpy(bias).float())


def make_ppca(model: Scvi, pca: PCA) -> None:
    """Give a network the components of probabilistic PCA, with its exact posterior."""
    variance, noise = pca.explained_variance_, pca.noise_variance_
    loadings = pca.components_.T * np.sqrt(variance - noise)  # (n_genes, n_components)
    make_linear(model.encoder, N_GENES)
    make_linear(model.decoder, SIZE)
    encoding = (loadings / variance).T
    set_map(model.posterior_mean, encoding, -encoding @ pca.mean_)
    set_map(model.posterior_variance, np.zeros((SIZE, N_GENES)), np.log(noise / variance - LEAST_VARIANCE))
    set_map(model.output, loadings, pca.mean_)
    torch.nn.init.constant_(model.raw_log_sd, np.log(noise**0.5 - LEAST_SD))


def bound_of(model: Scvi, config: Config, cells: Tensor) -> dict[str, Tensor]:
    """The loss at points whose mean is that over the posterior, of any function of second degree."""
    posterior = model.encode(cells)
    steps = torch.cat([torch.eye(SIZE), -torch.eye(SIZE)]) * SIZE**0.5
    points = posterior.mean + steps.unsqueeze(1) * torch.exp(posterior.log_variance / 2)
    repeated = cells.repeat(2 * SIZE, 1)
    mean = model.decode(points.reshape(-1, SIZE))
    kl = posterior.divergence().repeat(2 * SIZE)
    prediction = ScviPrediction(mean, {}, repeated, mean, model.log_sd, kl)
    row = torch.zeros(len(repeated), dtype=torch.long)
    objective = ScviObjective(DATASET, config, 0)
    losses: dict[str, Tensor] = objective(prediction, Batch(row[:1], row, repeated, row + 1.0))
    return losses


def test_a_linear_network_at_the_exact_posterior_has_the_likelihood_of_probabilistic_pca(
    small_scvi: SmallScvi, small_config: Config
) -> None:
    scales = np.linspace(2, 0.3, N_GENES)
    generator = torch.Generator().manual_seed(0)
    cells = FAR + torch.randn(N_CELLS, N_GENES, generator=generator).numpy() * scales
    pca = PCA(SIZE).fit(cells)
    model = small_scvi({"scvi.hidden_size": 2 * N_GENES}).eval()
    make_ppca(model, pca)
    with torch.no_grad():
        losses = bound_of(model, small_config, torch.from_numpy(cells).float())
    assert -losses["loss_total"].item() == pytest.approx(pca.score(cells), rel=1e-4)


def test_the_loss_is_the_bound_of_perturbed_and_control_cells(small_config: Config) -> None:
    training = Training(small_config.with_changes({"scvi.beta": 0.3}), DATASET, 0, torch.device("cpu"))
    rows = training.objective.rows
    index = np.arange(10)
    minibatch = rows.minibatch(index, training.order_generator)
    losses, found = minibatch_losses(training, minibatch)
    prediction = of_kind(ScviPrediction, found)
    cells = np.concatenate([minibatch.target_delta + minibatch.control, minibatch.control])
    torch.testing.assert_close(prediction.profiles, torch.from_numpy(cells).float())
    normal = Normal(prediction.mean, prediction.log_sd.exp())
    nll = -normal.log_prob(prediction.profiles).sum(dim=1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(losses["loss_recon"], nll.mean())
    torch.testing.assert_close(losses["loss_total"], nll.mean() + 0.3 * prediction.divergence.mean())


def test_the_likelihood_of_a_gene_that_no_cell_expresses_is_bounded(small_scvi: SmallScvi) -> None:
    model = small_scvi()
    torch.nn.init.constant_(model.raw_log_sd, -1000)
    torch.testing.assert_close(model.log_sd.exp(), torch.full((N_GENES,), LEAST_SD))
