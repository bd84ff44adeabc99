"""scVI's network (Lopez et al. 2018, scvi-tools), own compact version, with shifts of its latents."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from adapert.config import Config, ScviConfig
from adapert.data.corrected_cells import CorrectedCells
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray
from adapert.models.control_cells import draw_corrected_controls, mean_changes
from adapert.models.gene_effects import GeneEffects, effects_of_genes
from adapert.models.network import Network, Prediction, to_tensor
from adapert.models.posterior import Posterior
from adapert.models.scvi.layers import HiddenLayers, scvi_norm
from adapert.models.targets import Targets
from adapert.seeding import seeded_initialisation

LEAST_VARIANCE = 1e-4
"""Of a posterior; scvi-tools' own."""

FIRST_SD, LEAST_SD = 0.1, 0.01
"""Least standard deviations of a gene, log1p units: before training, and at all.

The likelihood of a gene that hardly any cell expresses has no bound otherwise.
"""


@dataclass(frozen=True)
class ScviPrediction(Prediction):
    """A forward pass in training, of perturbed cells and then their control cells.

    Attributes:
        profiles: What was encoded, log1p units, (n_profiles, n_genes).
        mean: Mean of the decoder's Gaussian, as `profiles`.
        log_sd: Logarithm of its standard deviation, (n_genes,).
        divergence: KL of posterior to prior, (n_profiles,).
    """

    profiles: Tensor
    mean: Tensor
    log_sd: Tensor
    divergence: Tensor


class Scvi(Network):
    """An autoencoder of cells, which knows nothing of perturbations while it is trained.

    q(z|x) = N(W_m h, exp(W_v h) + 1e-4), h = layers(x)
    p(x|z) = N(softplus(W_x layers(z)), exp(r)^2), r of each gene

    Batch normalisation is in the encoder alone: with it in the decoder, shifted latents decode to changes
    that are several times too large.

    After each epoch a perturbation's shift is measured: the mean of its training cells' posterior means less
    that of control cells. It is predicted as the mean change of control cells' decoded expression.
    """

    def __init__(self, config: ScviConfig, n_genes: int, effects: GeneEffects, cells: Tensor) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes.
            n_genes: Measured genes.
            effects: What genes do to the latents.
            cells: Control cells that predictions start from, log1p units, (N_CONTROL_CELLS, n_genes).
        """
        super().__init__()
        size, hidden_size, n_layers = config.latent_size, config.hidden_size, config.n_layers
        self.encoder = HiddenLayers(n_genes, hidden_size, n_layers, scvi_norm, config.dropout)
        self.posterior_mean = nn.Linear(hidden_size, size)
        self.posterior_variance = nn.Linear(hidden_size, size)
        self.decoder = HiddenLayers(size, hidden_size, n_layers, nn.Identity)
        self.output = nn.Linear(hidden_size, n_genes)
        self.raw_log_sd = nn.Parameter((cells.std(dim=0).clamp(min=FIRST_SD) - LEAST_SD).log())
        self.effects = effects
        self.cells: Tensor
        self.register_buffer("cells", cells)

    @property
    def log_sd(self) -> Tensor:
        """Logarithm of each gene's standard deviation about the decoded mean, (n_genes,)."""
        return torch.log(self.raw_log_sd.exp() + LEAST_SD)

    def encode(self, profiles: Tensor, generator: torch.Generator | None = None) -> Posterior:
        """Infer the latents of profiles, log1p units, (n_profiles, n_genes); the generator drops units."""
        hidden = self.encoder(profiles, generator)
        variance = self.posterior_variance(hidden).float().exp() + LEAST_VARIANCE
        return Posterior(self.posterior_mean(hidden).float(), variance.log())

    def decode(self, z: Tensor) -> Tensor:
        """Decode the mean profiles of latents, (n_profiles, size), log1p units, (n_profiles, n_genes)."""
        return softplus(self.output(self.decoder(z, None)).float())

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows from the network's own control cells; arguments as `Network` has them."""
        changes = mean_changes(self.decode, self.encode(self.cells).mean, self.effects(targets))
        return Prediction(changes[perturbation_row], {})

    def forward_in_training(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        target_delta: Tensor,
        generator: torch.Generator,
    ) -> ScviPrediction:
        """Reconstruct perturbed cells and their control cells; arguments as `Network` has them."""
        matched = control[control_row]
        profiles = torch.cat([matched + target_delta, matched])
        posterior = self.encode(profiles, generator)
        mean = self.decode(posterior.sample(generator))
        return ScviPrediction(
            delta=mean[: len(matched)] - matched,
            observed={},
            profiles=profiles,
            mean=mean,
            log_sd=self.log_sd,
            divergence=posterior.divergence(),
        )

    def after_epoch(self, dataset: PreparedDataset) -> None:
        """Measure the shifts of training perturbations with the weights of now."""
        shifts = self.measure_shifts(dataset)
        self.effects.set_trained(effects_of_genes(shifts, self.effects.members))

    @torch.no_grad()
    def measure_shifts(self, dataset: PreparedDataset) -> FloatArray:
        """Mean posterior mean of each training perturbation's cells less that of controls.

        Cells are read and encoded a part at a time (`CorrectedCells.parts`).

        Returns:
            (n_perturbations, size).
        """
        self.eval()
        split = dataset.splits["train"]
        owner, n_perturbations = np.asarray(split.cells.perturbation_index), len(split.table.perturbations)
        perturbed = self._mean_latents(CorrectedCells(split.cells, dataset.shared), owner, n_perturbations)
        controls = CorrectedCells(dataset.control_cells, dataset.shared)
        one_owner = np.zeros(len(dataset.control_cells), dtype=np.int64)
        shifts: FloatArray = perturbed - self._mean_latents(controls, one_owner, 1)
        return shifts

    def _mean_latents(self, cells: CorrectedCells, owner: IntArray, n_owners: int) -> FloatArray:
        """Average posterior means over the cells of each owner, (n_owners, size)."""
        sums = np.zeros((n_owners, self.posterior_mean.out_features))
        for rows, profiles in cells.parts():
            latents = self.encode(to_tensor(profiles, self.cells.device)).mean
            np.add.at(sums, owner[rows], latents.cpu().numpy())
        means: FloatArray = sums / np.bincount(owner, minlength=n_owners)[:, None]
        return means


def build_scvi(dataset: PreparedDataset, config: Config, seed: int) -> Scvi:
    """Build the untrained network of a trial.

    The trial's seed draws parameters, shuffled text and the control cells. A data set without splits brings
    neither control cells nor effects: trained weights do.
    """
    settings = config.scvi
    with seeded_initialisation(seed):
        effects = GeneEffects(dataset, config, seed, settings.unseen, settings.latent_size)
        return Scvi(settings, dataset.n_genes, effects, to_tensor(draw_corrected_controls(dataset, seed)))
