"""STATE's network (own compact version): cells of a set attend to each other and to the perturbation."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from adapert.config import Config, StateConfig
from adapert.data.prepared import PreparedDataset
from adapert.models.cell_sets import SetPrediction
from adapert.models.control_cells import N_CONTROL_CELLS, draw_control_cells
from adapert.models.dropout import Dropout
from adapert.models.encoders import Perceptron
from adapert.models.network import Network, Prediction, to_tensor
from adapert.models.targets import Targets
from adapert.models.text_latents import TextLatents, build_text_latents
from adapert.seeding import seeded_initialisation

FEEDFORWARD = 4
"""Hidden units of a transformer layer's perceptron, in units of its size."""


class State(Network):
    """A transformer over sets of control cells, without positions: the order of cells says nothing.

    token_i = MLP(x_i) + e_P, e_P = sum over g in P of MLP(s_g)
    h = transformer(tokens of a set)
    x_hat_i = MLP(h_i + MLP(x_i))

    Without a perturbation e_P is 0. A perturbation is predicted as the mean over control cells of x_hat with
    it less that without: what is wrong of a cell either way cancels.
    """

    def __init__(self, config: StateConfig, text: TextLatents, centre: Tensor, cells: Tensor) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes.
            text: e_P, of the hidden size.
            centre: Mean control profile, log1p units, taken off what is encoded, (n_genes,).
            cells: Control cells that predictions start from, in whole sets, log1p units, (n_cells, n_genes).
        """
        super().__init__()
        n_genes, size = len(centre), config.hidden_size
        self.set_size, self.dropout = config.set_size, Dropout(config.dropout)
        self.text = text
        self.encoder = Perceptron(n_genes, size, size, dropout=0)
        # Layers of their own: torch's TransformerEncoder starts all from the same weights.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                size,
                config.n_heads,
                FEEDFORWARD * size,
                dropout=0,  # torch's would draw from the global generator
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.n_layers)
        )
        self.decoder = Perceptron(size, size, n_genes, dropout=0)
        self.centre: Tensor
        self.cells: Tensor
        self.register_buffer("centre", centre, persistent=False)
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
        effect = self.text(targets)
        total = effect.new_zeros(len(effect), self.decoder.first.out_features)
        for encoded in torch.split(self.encode(self.cells), self.set_size):
            without = self.hidden_units(encoded.unsqueeze(0), torch.zeros_like(effect[:1]), None)
            with_effect = self.hidden_units(encoded.expand(len(effect), -1, -1), effect, None)
            # (n_perturbations, n_cells, hidden_size): the decoder's last map is linear, and so is a mean.
            total = total + (with_effect - without).sum(dim=1)
        delta = linear(total / len(self.cells), self.decoder.second.weight).float()
        return Prediction(delta[perturbation_row], {})

    def forward_in_training(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        target_delta: Tensor,
        generator: torch.Generator,
    ) -> SetPrediction:
        """Predict sets of control cells with and without their perturbation; arguments as `Network`'s."""
        cells = control[control_row].reshape(-1, self.set_size, len(self.centre))
        effect = self.text(targets)[perturbation_row[:: self.set_size]]
        encoded = self.encode(cells)
        hidden = self.hidden_units(
            torch.cat([encoded, encoded]), torch.cat([effect, torch.zeros_like(effect)]), generator
        )
        expression = self.centre + self.decoder.second(hidden).float()
        predicted, reconstructed = expression.chunk(2)
        delta = (predicted - cells).flatten(0, 1)
        return SetPrediction(delta, {}, control=cells, reconstructed=reconstructed)

    def encode(self, cells: Tensor) -> Tensor:
        """Encode cells, log1p units, (..., n_genes), as (..., hidden_size)."""
        return self.encoder(cells - self.centre, None)  # type: ignore[no-any-return]

    def hidden_units(self, encoded: Tensor, effect: Tensor, generator: torch.Generator | None) -> Tensor:
        """The decoder's hidden units of each cell of sets.

        Args:
            encoded: (n_sets, n_cells, hidden_size).
            effect: e_P of each set, (n_sets, hidden_size).
            generator: Draws dropout of tokens; None drops nothing.
        """
        hidden = self.dropout(encoded + effect.unsqueeze(1), generator)
        for layer in self.layers:
            hidden = layer(hidden)
        return torch.relu(self.decoder.first(hidden + encoded))


def build_state(dataset: PreparedDataset, config: Config, seed: int) -> State:
    """Build the untrained network of a trial.

    The trial's seed draws parameters, shuffled text and the control cells. A data set without splits brings
    no control cells: trained weights do. These are whole sets, as in training: attention among fewer cells
    would not be what was learned.
    """
    settings = config.state
    n_sets = math.ceil(N_CONTROL_CELLS / settings.set_size)
    with seeded_initialisation(seed):
        text = build_text_latents(dataset, config, seed, settings.hidden_size, settings.hidden_size)
        centre = to_tensor(np.asarray(dataset.shared.control_mean))
        cells = draw_control_cells(dataset, seed, n_sets * settings.set_size)
        return State(settings, text, centre, to_tensor(cells))
