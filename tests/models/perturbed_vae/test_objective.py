import numpy as np
import pytest
import torch
from fixtures.builders import SmallPerturbedVae
from fixtures.dataset import N_GENES, build_tiny_dataset
from fixtures.linear import make_linear
from fixtures.narrowed import of_kind
from sklearn.decomposition import PCA
from torch import Tensor

from adapert.config import Config
from adapert.models.discrepancies import squared_mmd
from adapert.models.encoders import Perceptron
from adapert.models.network import Batch
from adapert.models.perturbed_vae.alignment import specific_contrast
from adapert.models.perturbed_vae.latent import bernoulli_divergence, log_mask_prior
from adapert.models.perturbed_vae.model import PerturbedVae, Shift, VaePrediction
from adapert.models.perturbed_vae.objective import PerturbedVaeObjective
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

DATASET = build_tiny_dataset()
N_CELLS, N_COMPONENTS = 40, 2


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_ppca(model: PerturbedVae, pca: PCA) -> None:
    """Let z_I be the components of probabilistic PCA with its exact posterior, and z_S count for nothing."""
    variance, noise = pca.explained_variance_, pca.noise_variance_
    loadings = pca.components_.T * np.sqrt(variance - noise)  # (n_genes, n_components)
    decoder = np.zeros((N_GENES, N_COMPONENTS + 3))
    decoder[:, :N_COMPONENTS] = loadings
    make_linear(of_kind(Perceptron, model.decoder), decoder, np.zeros(N_GENES))
    # Means of z_I and z_S, then their log variances.
    encoder = np.zeros((2 * (N_COMPONENTS + 3), N_GENES))
    encoder[:N_COMPONENTS] = (loadings / variance).T
    bias = np.zeros(len(encoder))
    bias[N_COMPONENTS + 3 : 2 * N_COMPONENTS + 3] = np.log(noise / variance)
    make_linear(of_kind(Perceptron, model.encoder), encoder, bias)
    model.centre = torch.from_numpy(pca.mean_).float()


def test_at_the_exact_posterior_of_a_linear_decoder_the_loss_is_the_likelihood_of_probabilistic_pca(
    small_vae: SmallPerturbedVae, small_config: Config
) -> None:
    scales = np.linspace(2, 0.3, N_GENES)
    cells = (draws(N_CELLS, N_GENES).numpy() * scales).astype(np.float32)
    pca = PCA(N_COMPONENTS).fit(cells)
    beta = 2 * float(pca.noise_variance_)
    changes = {
        "perturbed_vae.beta": beta,
        "perturbed_vae.lambda_sparsity": 0.0,
        "perturbed_vae.alignment": "none",
        "perturbed_vae.hidden_size": 2 * N_GENES,
    }
    model = small_vae(changes)
    make_ppca(model, pca)
    x = torch.from_numpy(cells)
    with torch.no_grad():
        posterior = model.encode(x)
        # The mean over these points is that over the posterior, of any function of second degree.
        steps = torch.cat([torch.eye(5), -torch.eye(5)]) * 5**0.5
        points = posterior.mean + steps.unsqueeze(1) * torch.exp(posterior.log_variance / 2)
        z = points.reshape(-1, 5)
        repeated = x.repeat(10, 1)
        none = torch.zeros(1, 3)
        prediction = VaePrediction(
            delta=model.decode(z[:, :2], z[:, 2:]),
            observed={},
            divergence=posterior.divergence().repeat(10),
            shift=Shift(none, none, torch.ones(1)),
            z_specific=z[:, 2:],
        )
        objective = PerturbedVaeObjective(DATASET, small_config.with_changes(changes), 0)
        row = torch.zeros(len(repeated), dtype=torch.long)
        losses = objective(prediction, Batch(row[:1], row, repeated, torch.ones(len(row))))
    bound = -losses["loss_total"].item() * N_GENES / beta - N_GENES / 2 * np.log(np.pi * beta)
    assert bound == pytest.approx(pca.score(cells), rel=1e-4)


@pytest.mark.parametrize("rows", ["cells", "means"])
def test_the_loss_is_the_sum_of_its_terms(small_config: Config, rows: str) -> None:
    changes = {"perturbed_vae.lambda_align": 2.0, "perturbed_vae.rows": rows}
    training = Training(small_config.with_changes(changes), DATASET, 0, torch.device("cpu"))
    all_rows = training.objective.rows
    index = np.arange(len(all_rows.perturbation_index))
    minibatch = all_rows.minibatch(index, training.order_generator)
    losses, found = minibatch_losses(training, minibatch)
    prediction = of_kind(VaePrediction, found)
    row = torch.from_numpy(minibatch.perturbation_index.astype(np.int64))  # all of them are there

    squares = (prediction.delta - torch.from_numpy(minibatch.target_delta)).square().mean(dim=1)
    recon = (squares * torch.from_numpy(minibatch.weight)).mean()
    align = specific_contrast(prediction.z_specific, prediction.shift.a, row, torch.tensor(0.1))
    if rows == "cells":
        assert prediction.control_error is not None
        assert prediction.z_invariant is not None
        assert len(prediction.divergence) == 2 * len(index)  # those of control cells, too
        recon = (recon + prediction.control_error.square().mean()) / 2
        align = align + squared_mmd(*prediction.z_invariant)
    n_perturbations = len(DATASET.splits["train"].table.perturbations)
    divergences = bernoulli_divergence(prediction.shift.mask_logits, log_mask_prior(0.1))
    mask = divergences[prediction.shift.is_gene > 0].sum() / n_perturbations
    expected = recon + (0.5 * prediction.divergence.mean() + mask + 2 * align) / N_GENES
    torch.testing.assert_close(losses["loss_recon"], recon)
    torch.testing.assert_close(losses["loss_total"], expected)
