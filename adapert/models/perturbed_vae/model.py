"""PerturbedVAE's networks: of single cells, and their reduced form of mean responses (own construction)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from adapert.config import Config, PerturbedVaeConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import resolve_rows
from adapert.models.control_cells import draw_control_cells
from adapert.models.encoders import Perceptron
from adapert.models.network import Network, Prediction, to_tensor
from adapert.models.noise import Noise
from adapert.models.perturbed_vae.effects import EFFECTS
from adapert.models.perturbed_vae.latent import LATENT_GRAPHS, MASKS
from adapert.models.posterior import Posterior
from adapert.models.row_picks import pick_rows
from adapert.models.targets import NodePlace, Targets
from adapert.seeding import seeded_initialisation


class Shift(NamedTuple):
    """What perturbations do to the latents.

    Attributes:
        a: a_P = sum over genes g of m_g * e_g, (n_perturbations, size).
        mask_logits: l_g of every gene of every perturbation, (n_targeted_genes, size).
        is_gene: 1 for a gene, 0 for padding among them, (n_targeted_genes,).
    """

    a: Tensor
    mask_logits: Tensor
    is_gene: Tensor


@dataclass(frozen=True)
class VaePrediction(Prediction):
    """A forward pass in training.

    Attributes:
        divergence: KL of posterior to prior of each encoded profile's latents, (n_profiles,).
        shift: Of the distinct perturbations.
        z_specific: z_S of each row, (n_rows, specific_size).
        z_invariant: z_I of perturbed and of control cells, (n_rows, invariant_size) each; None of means.
        control_error: Reconstructed minus observed control cells, (n_rows, n_genes); None of means.
    """

    divergence: Tensor
    shift: Shift
    z_specific: Tensor
    z_invariant: tuple[Tensor, Tensor] | None = None
    control_error: Tensor | None = None


class PerturbedVae(Network):
    """What both forms share: a_P, the latents' causal graph, and the decoder.

    a_P = sum over g in P of m_g * e_g, m_g ~ Bernoulli(sigma(l_g))
    z_S = (I - B)^-1 (eps + a_P)
    x_hat = dec([z_I, z_S])
    """

    def __init__(
        self, config: PerturbedVaeConfig, effects: nn.Module, place: NodePlace, centre: Tensor, n_encoded: int
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            effects: l_g and e_g of nodes.
            place: From the data set's nodes, which targets name, to the graph's.
            centre: Mean control profile, log1p units, taken off what is encoded, (n_genes,).
            n_encoded: Latents that the encoder infers.
        """
        super().__init__()
        n_genes, hidden_size = len(centre), config.hidden_size
        self.invariant_size, self.specific_size = config.invariant_size, config.specific_size
        self.effects, self.place = effects, place
        self.draw_mask = MASKS[config.mask].draw
        self.latent_graph = LATENT_GRAPHS[config.latent_graph](config.specific_size)
        self.encoder = Perceptron(n_genes, hidden_size, 2 * n_encoded, dropout=0) if n_encoded else None
        n_latents = config.invariant_size + config.specific_size
        self.decoder = Perceptron(n_latents, hidden_size, n_genes, dropout=0)
        self.centre: Tensor
        self.register_buffer("centre", centre, persistent=False)

    def encode(self, profiles: Tensor) -> Posterior:
        """Infer the encoded latents, z_I first, of profiles, log1p units, (n_profiles, n_genes)."""
        if self.encoder is None:
            return Posterior(profiles.new_empty(len(profiles), 0), profiles.new_empty(len(profiles), 0))
        mean, log_variance = self.encoder(profiles - self.centre, None).float().chunk(2, dim=1)
        return Posterior(mean, log_variance)

    def shift(self, targets: Targets, generator: Noise | None) -> Shift:
        """Compute a_P of perturbations; the generator draws masks, and None is their mean."""
        targets = self.place(targets)
        logits, effects = self.effects(targets.nodes)
        is_gene = targets.is_gene
        a = (self.draw_mask(logits.float(), generator) * effects.float() * is_gene.unsqueeze(-1)).sum(dim=1)
        return Shift(a, logits.flatten(0, 1).float(), is_gene.flatten())

    def observe(self, shift: Shift) -> dict[str, Tensor]:
        """Note what the report of an epoch is made of."""
        return {"mask": self.draw_mask(shift.mask_logits.detach(), None), "is_gene": shift.is_gene}

    def decode(self, z_invariant: Tensor, z_specific: Tensor) -> Tensor:
        """Reconstruct profiles, log1p units, (n_profiles, n_genes)."""
        latents = torch.cat([z_invariant, z_specific], dim=1)
        return self.centre + self.decoder(latents, None).float()  # type: ignore[no-any-return]

    def hidden_units(self, z_invariant: Tensor, z_specific: Tensor) -> Tensor:
        """The decoder's hidden units before their ReLU, (n_profiles, hidden_size)."""
        return self.decoder.first(torch.cat([z_invariant, z_specific], dim=1))  # type: ignore[no-any-return]

    def hidden_change(self, before: Tensor, change: Tensor) -> Tensor:
        """What a change of z_S changes in the decoder's hidden units; exactly 0 where it is 0.

        Args:
            before: From `hidden_units`, without the change, (..., hidden_size).
            change: (I - B)^-1 a_P, which a linear causal graph adds to z_S, (..., specific_size).
        """
        moved = linear(change, self.decoder.first.weight[:, self.invariant_size :])
        return torch.relu(before + moved) - torch.relu(before)

    def expression_change(self, hidden_change: Tensor) -> Tensor:
        """Decode a change of hidden units, (n_rows, hidden_size), log1p units, (n_rows, n_genes)."""
        return linear(hidden_change, self.decoder.second.weight).float()

    def epoch_report(self, observed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean probability that a gene of training moves a latent."""
        mask, is_gene = observed["mask"], observed["is_gene"]
        return {"mask_mean": (mask * is_gene.unsqueeze(1)).sum() / (is_gene.sum() * mask.shape[1])}


class CellVae(PerturbedVae):
    """The form of single cells: z_I and eps of each cell are inferred, perturbed or control.

    A perturbed cell is encoded less what a_P is predicted to change, as if it were a control cell. The exact
    posterior of z_I and eps has this form where the decoder is linear. An encoder of x alone can put all that
    P changes into eps, and a_P learns nothing.

    A perturbation is predicted as the mean over control cells of dec(z_I, z_S) with a_P less that without:
    what the autoencoder gets wrong of a cell cancels.
    """

    def __init__(
        self, config: PerturbedVaeConfig, effects: nn.Module, place: NodePlace, centre: Tensor, cells: Tensor
    ) -> None:
        """Make the parts, as `PerturbedVae` does.

        Args:
            config: Sizes and forms.
            effects: l_g and e_g of nodes.
            place: From the data set's nodes to the graph's.
            centre: Mean control profile, log1p units, (n_genes,).
            cells: Control cells that predictions start from, log1p units, (N_CONTROL_CELLS, n_genes).
        """
        super().__init__(config, effects, place, centre, config.invariant_size + config.specific_size)
        self.cells: Tensor
        self.register_buffer("cells", cells)

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows from the network's own control cells; arguments as `Network` has them."""
        z_invariant, eps = self._split(self.encode(self.cells).mean)
        before = self.hidden_units(z_invariant, self.latent_graph(eps))
        change = self.latent_graph(self.shift(targets, generator).a)
        # (n_perturbations, n_cells, hidden_size), of which the mean over cells
        hidden = self.hidden_change(before, change.unsqueeze(1)).mean(dim=1)
        return Prediction(self.expression_change(hidden)[perturbation_row], {})

    def forward_in_training(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        target_delta: Tensor,
        generator: torch.Generator,
    ) -> VaePrediction:
        """Reconstruct perturbed cells and their control cells; arguments as `Network` has them."""
        n_rows = len(perturbation_row)
        shift = self.shift(targets, generator)
        matched = control[control_row]
        unperturbed = matched + target_delta - pick_rows(self.mean_response(shift.a), perturbation_row)
        posterior = self.encode(torch.cat([unperturbed, matched]))
        z_invariant, eps = self._split(posterior.sample(generator))
        a = pick_rows(shift.a, perturbation_row)
        z_specific = self.latent_graph(eps + torch.cat([a, torch.zeros_like(a)]))
        reconstructed = self.decode(z_invariant, z_specific)
        return VaePrediction(
            delta=reconstructed[:n_rows] - matched,
            observed=self.observe(shift),
            divergence=posterior.divergence(),
            shift=shift,
            z_specific=z_specific[:n_rows],
            z_invariant=(z_invariant[:n_rows], z_invariant[n_rows:]),
            control_error=reconstructed[n_rows:] - matched,
        )

    def mean_response(self, a: Tensor) -> Tensor:
        """Change of the profile that all latents at 0 decode to, log1p units, (n_perturbations, n_genes)."""
        before = self.hidden_units(a.new_zeros(1, self.invariant_size), a.new_zeros(1, self.specific_size))
        return self.expression_change(self.hidden_change(before, self.latent_graph(a)))

    def _split(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        return latents[:, : self.invariant_size], latents[:, self.invariant_size :]


class MeanVae(PerturbedVae):
    """The reduced form of mean responses: eps = 0, and z_I of the mean control.

    delta = dec(z_I, (I - B)^-1 a_P) - dec(z_I, 0)
    """

    def __init__(
        self, config: PerturbedVaeConfig, effects: nn.Module, place: NodePlace, centre: Tensor
    ) -> None:
        """Make the parts, as `PerturbedVae` does."""
        super().__init__(config, effects, place, centre, config.invariant_size)
        self.decoder.second.bias.requires_grad_(False)  # a change has none

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> VaePrediction:
        """Predict rows; arguments as `Network` has them."""
        posterior = self.encode(control)
        z_invariant = posterior.sample(generator)
        no_noise = z_invariant.new_zeros(len(control), self.specific_size)
        before = pick_rows(self.hidden_units(z_invariant, no_noise), control_row)
        shift = self.shift(targets, generator)
        z_specific = pick_rows(self.latent_graph(shift.a), perturbation_row)
        return VaePrediction(
            delta=self.expression_change(self.hidden_change(before, z_specific)),
            observed=self.observe(shift),
            divergence=pick_rows(posterior.divergence(), control_row),
            shift=shift,
            z_specific=z_specific,
        )


def build_perturbed_vae(dataset: PreparedDataset, config: Config, seed: int) -> PerturbedVae:
    """Build the untrained network of a trial.

    The trial's seed draws parameters, noise of the network, shuffled text and the control cells. A data set
    without splits brings no control cells: trained weights do.
    """
    settings = config.perturbed_vae
    with seeded_initialisation(seed):
        effects = EFFECTS[settings.effects](dataset, config, seed)
        place = NodePlace(dataset.shared, config.graph)
        centre = to_tensor(np.asarray(dataset.shared.control_mean))
        if resolve_rows(dataset.shared, settings.rows) == "means":
            return MeanVae(settings, effects, place, centre)
        return CellVae(settings, effects, place, centre, to_tensor(draw_control_cells(dataset, seed)))
