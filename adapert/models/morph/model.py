"""MORPH's networks (own compact version): of single cells, and their reduced form of mean responses."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from adapert.config import Config, MorphConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import resolve_rows
from adapert.models.cell_sets import SetPrediction
from adapert.models.control_cells import draw_control_cells
from adapert.models.encoders import Perceptron
from adapert.models.morph.attention import SLOPE, ProgramAttention
from adapert.models.network import Network, Prediction, to_tensor
from adapert.models.posterior import Posterior
from adapert.models.row_picks import pick_rows
from adapert.models.targets import Targets
from adapert.models.text_latents import TextLatents, build_text_latents
from adapert.seeding import seeded_initialisation


@dataclass(frozen=True)
class MorphPrediction(SetPrediction):
    """A forward pass in training on sets of cells.

    Attributes:
        divergence: KL of posterior to prior of each control cell's latents, (n_rows,).
    """

    divergence: Tensor


class Morph(Network):
    """What both forms share: the latents of control and perturbation, and what programs make of them.

    q = [z(x), e_P], e_P = sum over g in P of MLP(s_g), 0 without a perturbation
    q += attention over programs G, see `ProgramAttention`, layer after layer
    """

    def __init__(self, config: MorphConfig, text: TextLatents, centre: Tensor, n_encoded: int) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes.
            text: e_P.
            centre: Mean control profile, log1p units, taken off what is encoded, (n_genes,).
            n_encoded: Numbers that the encoder gives of a profile.
        """
        super().__init__()
        size = config.latent_size + config.perturbation_size
        self.perturbation_size, self.set_size = config.perturbation_size, config.set_size
        self.text = text
        self.encoder = Perceptron(len(centre), config.hidden_size, n_encoded, dropout=0)
        self.programs = nn.Parameter(torch.randn(config.n_programs, config.program_size))
        self.layers = nn.ModuleList(
            ProgramAttention(size, config.program_size) for _ in range(config.n_layers)
        )
        self.decoder = nn.Linear(size, len(centre))
        self.centre: Tensor
        self.register_buffer("centre", centre, persistent=False)

    def encode(self, profiles: Tensor) -> Tensor:
        """Encode profiles, log1p units, (n_profiles, n_genes)."""
        return self.encoder(profiles - self.centre, None)  # type: ignore[no-any-return]

    def join(self, z: Tensor, effect: Tensor | None) -> Tensor:
        """Join latents of controls, (n_rows, latent_size), with e_P of each row or none, by programs."""
        if effect is None:
            effect = z.new_zeros(len(z), self.perturbation_size)
        q = torch.cat([z, effect], dim=1)
        for layer in self.layers:
            q = layer(q, self.programs)
        return q


class CellMorph(Morph):
    """The form of single cells: z is drawn around what is inferred of a control cell.

    x_hat = LeakyReLU(W q + b)

    A perturbation is predicted as the mean over control cells of x_hat with it less that without: what the
    autoencoder gets wrong of a cell cancels.
    """

    def __init__(self, config: MorphConfig, text: TextLatents, centre: Tensor, cells: Tensor) -> None:
        """Make the parts, as `Morph` does; untrained, cells are reconstructed near their mean.

        Args:
            config: Sizes.
            text: e_P.
            centre: Mean control profile, log1p units, (n_genes,).
            cells: Control cells that predictions start from, log1p units, (N_CONTROL_CELLS, n_genes).
        """
        super().__init__(config, text, centre, 2 * config.latent_size)
        with torch.no_grad():
            self.decoder.bias.copy_(centre)
        self.cells: Tensor
        self.noise: Tensor
        self.register_buffer("cells", cells)
        self.register_buffer("noise", torch.randn(len(cells), config.latent_size))

    def infer(self, cells: Tensor) -> Posterior:
        """Infer z of cells, log1p units, (n_cells, n_genes)."""
        mean, log_variance = self.encode(cells).float().chunk(2, dim=1)
        return Posterior(mean, log_variance)

    def decode(self, z: Tensor, effect: Tensor | None) -> Tensor:
        """Predict cells with or without a perturbation, log1p units, (n_cells, n_genes)."""
        return leaky_relu(self.decoder(self.join(z, effect)).float(), SLOPE)

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows from the network's own control cells; arguments as `Network` has them."""
        # Drawn as in training: cells at the mean of z are not the mean of cells.
        z = self.infer(self.cells).at(self.noise)
        # One perturbation at a time: the genes of all cells of many would fill the memory.
        means = [self.decode(z, each.expand(len(z), -1)).mean(dim=0) for each in self.text(targets)]
        delta = torch.stack(means) - self.decode(z, None).mean(dim=0)
        return Prediction(delta[perturbation_row], {})

    def forward_in_training(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        target_delta: Tensor,
        generator: torch.Generator,
    ) -> MorphPrediction:
        """Predict sets of control cells with and without their perturbation; arguments as `Network`'s."""
        cells = control[control_row]
        posterior = self.infer(cells)
        z = posterior.sample(generator)
        in_sets = (-1, self.set_size, cells.shape[1])
        return MorphPrediction(
            delta=self.decode(z, pick_rows(self.text(targets), perturbation_row)) - cells,
            observed={},
            control=cells.reshape(in_sets),
            reconstructed=self.decode(z, None).reshape(in_sets),
            divergence=posterior.divergence(),
        )


class MeanMorph(Morph):
    """The reduced form of mean responses: z is a function of the mean control, and changes have both signs.

    delta = W (q with the perturbation - q without)
    """

    def __init__(self, config: MorphConfig, text: TextLatents, centre: Tensor) -> None:
        """Make the parts, as `Morph` does."""
        super().__init__(config, text, centre, config.latent_size)
        self.decoder.bias.requires_grad_(False)  # a change has none

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows; arguments as `Network` has them."""
        z = self.encode(control)
        change = self.join(pick_rows(z, control_row), pick_rows(self.text(targets), perturbation_row))
        change = change - pick_rows(self.join(z, None), control_row)
        return Prediction(linear(change, self.decoder.weight).float(), {})


def build_morph(dataset: PreparedDataset, config: Config, seed: int) -> Morph:
    """Build the untrained network of a trial.

    The trial's seed draws parameters, shuffled text and the control cells. A data set without splits brings
    no control cells: trained weights do.
    """
    settings = config.morph
    with seeded_initialisation(seed):
        text = build_text_latents(dataset, config, seed, settings.hidden_size, settings.perturbation_size)
        centre = to_tensor(np.asarray(dataset.shared.control_mean))
        if resolve_rows(dataset.shared, settings.rows) == "means":
            return MeanMorph(settings, text, centre)
        return CellMorph(settings, text, centre, to_tensor(draw_control_cells(dataset, seed)))
