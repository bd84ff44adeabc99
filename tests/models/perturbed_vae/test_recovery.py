"""Sparse shifts of latents that were simulated, found again."""

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset
from fixtures.narrowed import of_kind
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from adapert.config import Config
from adapert.models.network import Batch
from adapert.models.perturbed_vae.effects import EffectTable
from adapert.models.perturbed_vae.model import CellVae, PerturbedVae, build_perturbed_vae
from adapert.models.perturbed_vae.objective import PerturbedVaeObjective
from adapert.models.targets import Targets

N_LATENTS, N_LEARNED, NOISE = 3, 6, 0.7
N_CELLS, N_STEPS = 150, 400
SETTINGS = {
    "model.name": "perturbed_vae",
    "perturbed_vae.effects": "table",
    "perturbed_vae.invariant_size": 2,
    "perturbed_vae.specific_size": N_LEARNED,
    "perturbed_vae.hidden_size": 32,
    "perturbed_vae.mask_prior": 0.2,
    "perturbed_vae.beta": 2 * NOISE**2,
    "perturbed_vae.lambda_sparsity": 0.1,
    "perturbed_vae.alignment": "none",
}
TARGETS = Targets(torch.arange(N_NODES).unsqueeze(1), torch.ones(N_NODES, 1))


class Simulator:
    """Cells x = W (eps + a_P) + V z_I + noise, where each gene shifts one of the latents by 3 or -3."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.specific = torch.from_numpy(generator.normal(size=(N_LATENTS, N_GENES))).float()
        self.invariant = torch.from_numpy(generator.normal(size=(2, N_GENES))).float()
        genes = torch.arange(N_NODES)
        self.shifts = torch.zeros(N_NODES, N_LATENTS)
        self.shifts[genes, genes % N_LATENTS] = torch.from_numpy(
            generator.choice([-3.0, 3.0], N_NODES)
        ).float()
        self.generator = torch.Generator().manual_seed(seed)

    def cells(self, shifts: Tensor) -> Tensor:
        n_cells = len(shifts)
        eps = torch.randn(n_cells, N_LATENTS, generator=self.generator)
        z_invariant = torch.randn(n_cells, 2, generator=self.generator)
        noise = NOISE * torch.randn(n_cells, N_GENES, generator=self.generator)
        return (eps + shifts) @ self.specific + z_invariant @ self.invariant + noise


def train(model: PerturbedVae, objective: PerturbedVaeObjective, simulator: Simulator) -> None:
    row = torch.arange(N_CELLS) % N_NODES
    cell, weight = torch.arange(N_CELLS), torch.ones(N_CELLS)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(N_STEPS):
        control = simulator.cells(torch.zeros(N_CELLS, N_LATENTS))
        delta = simulator.cells(simulator.shifts[row]) - control
        prediction = model.forward_in_training(TARGETS, row, control, cell, delta, simulator.generator)
        losses = objective(prediction, Batch(torch.arange(N_NODES), row, delta, weight))
        optimizer.zero_grad()
        losses["loss_total"].backward()
        optimizer.step()


@pytest.mark.slow
def test_simulated_sparse_shifts_are_recovered() -> None:
    dataset, config, simulator = build_tiny_dataset(), Config().with_changes(SETTINGS), Simulator(0)
    model = of_kind(CellVae, build_perturbed_vae(dataset, config, 0))
    of_kind(EffectTable, model.effects).is_trained.fill_(1)
    model.centre.zero_()
    train(model, PerturbedVaeObjective(dataset, config, 0), simulator)
    model.cells.copy_(simulator.cells(torch.zeros(len(model.cells), N_LATENTS)))
    with torch.no_grad():
        found = model.latent_graph(model.shift(TARGETS, None).a).numpy()
        genes = torch.arange(N_NODES)
        delta = model.eval()(TARGETS, genes, torch.zeros(1, N_GENES), 0 * genes).delta.numpy()
    # Latents are found in any order and sign.
    correlation = np.abs(np.corrcoef(found.T, simulator.shifts.numpy().T)[:N_LEARNED, N_LEARNED:])
    assert correlation[linear_sum_assignment(-correlation)].min() > 0.9
    true_delta = (simulator.shifts @ simulator.specific).numpy()
    assert np.corrcoef(delta.ravel(), true_delta.ravel())[0, 1] > 0.9
