"""CPA's network (Lotfollahi et al., Mol Syst Biol 2023), own compact version."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config, CpaConfig
from adapert.data.prepared import PreparedDataset
from adapert.models.control_cells import draw_corrected_controls, mean_changes
from adapert.models.encoders import Perceptron
from adapert.models.gene_effects import GeneEffects
from adapert.models.network import Network, Prediction, to_tensor
from adapert.models.row_picks import pick_rows
from adapert.models.targets import Targets
from adapert.seeding import seeded_initialisation


@dataclass(frozen=True)
class CpaPrediction(Prediction):
    """A forward pass in training, of perturbed cells and then their control cells.

    Attributes:
        profiles: What was encoded, log1p units, (n_profiles, n_genes).
        reconstructed: What was decoded, as `profiles`.
        basal: Latents before the perturbation's effect, (n_profiles, size).
    """

    profiles: Tensor
    reconstructed: Tensor
    basal: Tensor


class Cpa(Network):
    """A cell x of a perturbation P is dec(enc(x) + sum over g in P of e_g), and a control cell dec(enc(x)).

    The objective's adversary keeps P out of enc(x), so that e_g has to bring it. A perturbation is predicted
    as the mean change of control cells' decoded expression.
    """

    def __init__(
        self, config: CpaConfig, n_nodes: int, effects: GeneEffects, centre: Tensor, cells: Tensor
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes.
            n_nodes: Genes that have an e_g, of which training moves those that it perturbs.
            effects: What genes do to the latents in predictions.
            centre: Mean control profile, log1p units, taken off what is encoded, (n_genes,).
            cells: Control cells that predictions start from, log1p units, (N_CONTROL_CELLS, n_genes).
        """
        super().__init__()
        size, hidden_size, n_genes = config.latent_size, config.hidden_size, len(centre)
        self.encoder = Perceptron(n_genes, hidden_size, size, config.dropout)
        self.decoder = Perceptron(size, hidden_size, n_genes, config.dropout)
        self.gene_effects = nn.Parameter(torch.zeros(n_nodes, size))
        self.effects = effects
        self.centre: Tensor
        self.register_buffer("centre", centre, persistent=False)
        self.cells: Tensor
        self.register_buffer("cells", cells)

    def encode(self, profiles: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Encode profiles, log1p units, (n_profiles, n_genes), as latents; the generator drops units."""
        return self.encoder(profiles - self.centre, generator).float()  # type: ignore[no-any-return]

    def decode(self, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Decode latents, (n_profiles, size), as profiles; the generator drops units."""
        return self.centre + self.decoder(latents, generator).float()  # type: ignore[no-any-return]

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows from the network's own control cells; arguments as `Network` has them."""
        changes = mean_changes(self.decode, self.encode(self.cells), self.effects(targets))
        return Prediction(changes[perturbation_row], {})

    def forward_in_training(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        target_delta: Tensor,
        generator: torch.Generator,
    ) -> CpaPrediction:
        """Reconstruct perturbed cells and their control cells; arguments as `Network` has them."""
        matched = control[control_row]
        profiles = torch.cat([matched + target_delta, matched])
        basal = self.encode(profiles, generator)
        effect = pick_rows(targets.sum_rows(self.gene_effects), perturbation_row)
        latents = basal + torch.cat([effect, torch.zeros_like(effect)])
        reconstructed = self.decode(latents, generator)
        return CpaPrediction(
            delta=reconstructed[: len(matched)] - matched,
            observed={},
            profiles=profiles,
            reconstructed=reconstructed,
            basal=basal,
        )

    def after_epoch(self, dataset: PreparedDataset) -> None:
        """Take the effects of now for predictions, and complete them for genes that training leaves out."""
        trained = self.gene_effects.detach()[self.effects.trained]
        self.effects.set_trained(trained.cpu().double().numpy())


def build_cpa(dataset: PreparedDataset, config: Config, seed: int) -> Cpa:
    """Build the untrained network of a trial.

    The trial's seed draws parameters, shuffled text and the control cells. A data set without splits brings
    neither control cells nor effects: trained weights do.
    """
    settings = config.cpa
    with seeded_initialisation(seed):
        effects = GeneEffects(dataset, config, seed, settings.unseen, settings.latent_size)
        centre = to_tensor(np.asarray(dataset.shared.control_mean))
        cells = to_tensor(draw_corrected_controls(dataset, seed))
        return Cpa(settings, dataset.n_nodes, effects, centre, cells)
