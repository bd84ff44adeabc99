"""APP: genes in their network, attention for a perturbation, a light decoder (Fig. 2 and Eq. 1 to 7)."""

import torch
from torch import Tensor, nn

from adapert.config import AppConfig, Config
from adapert.data.prepared import PreparedDataset
from adapert.models.app.aggregation import AGGREGATIONS
from adapert.models.app.edges import build_neighbours
from adapert.models.app.features import FEATURES
from adapert.models.dropout import Dropout
from adapert.models.encoders import Perceptron
from adapert.models.network import Network, Prediction
from adapert.models.row_picks import pick_rows
from adapert.models.scores import tanh_score
from adapert.models.targets import NodePlace, Targets
from adapert.seeding import seeded_initialisation


class PerturbationAttention(nn.Module):
    """How much each gene counts for each perturbation (Eq. 4 and 5)."""

    def __init__(self, size: int, score_size: int) -> None:
        super().__init__()
        self.gene = nn.Linear(size, score_size, bias=False)
        self.context = nn.Linear(size, score_size)
        self.weight = nn.Linear(score_size, 1, bias=False)

    def forward(self, c: Tensor, h: Tensor) -> Tensor:
        """Alpha = softmax over genes i of v . tanh(W_c c_P + W_h h_i + b_e), (n_perturbations, n_nodes).

        Args:
            c: c_P of each perturbation, (n_perturbations, size).
            h: Gene embeddings, (n_nodes, size).
        """
        v = self.weight.weight[0]
        return torch.softmax(tanh_score(self.gene(h).to(v.dtype), self.context(c).to(v.dtype), v), dim=1)


class LinearDecoder(nn.Linear):
    """W_D s + b_D (Eq. 7)."""

    def forward(self, s: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Map (n_rows, size) to (n_rows, n_genes); nothing is drawn."""
        return super().forward(s)


class App(Network):
    """Predict deltas of perturbations; the control profile is not read."""

    def __init__(
        self, config: AppConfig, features: nn.Module, aggregate: nn.Module, place: NodePlace, n_genes: int
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            features: Returns h(0), (n_nodes, size).
            aggregate: Eq. 1, (n_nodes, size) to the same.
            place: From the data set's nodes, which targets name, to the graph's.
            n_genes: Measured genes.
        """
        super().__init__()
        size = config.size
        self.features, self.aggregate, self.place = features, aggregate, place
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(config.n_layers))
        self._scale_layers()
        is_attentive = config.attention == "perturbation"
        self.attention = PerturbationAttention(size, config.score_size) if is_attentive else None
        self.own = nn.Linear(size, size, bias=False) if config.own_gene else None
        self.decoder = (
            LinearDecoder(size, n_genes)
            if config.decoder == "linear"
            else Perceptron(size, config.hidden_size, n_genes, config.dropout)
        )

    @torch.no_grad()
    def _scale_layers(self) -> None:
        """Let each untrained layer's outputs have SD 1 over genes and units, whatever the aggregation.

        By torch's default, sums over 20 neighbours grow tenfold a layer. Not in the paper.
        """
        h: Tensor = self.features()
        for layer in self.layers:
            h = h + self.aggregate(h)
            spread = float(layer(h).std())
            layer.weight.div_(spread or 1.0)  # type: ignore[operator]
            h = torch.relu(layer(h))

    def gene_embeddings(self) -> Tensor:
        """H of all genes, each layer relu(W (h_i + a_i) + b) (Eq. 1 and 2), (n_nodes, size)."""
        h: Tensor = self.features()
        for layer in self.layers:
            h = torch.relu(layer(h + self.aggregate(h)))
        return h

    def cell_states(self, targets: Targets, h: Tensor) -> Tensor:
        """Compute s (Eq. 3 to 6) for targets that are nodes of the graph, (n_perturbations, size)."""
        c = targets.sum_rows(h) / targets.is_gene.sum(dim=1, keepdim=True)
        s = c if self.attention is None else self.attention(c, h) @ h
        return s if self.own is None else s + self.own(c)

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows; arguments as `adapert.models.network.Network` has them.

        Raises:
            InputError: A gene that is not in the graph.
        """
        states = self.cell_states(self.place(targets), self.gene_embeddings())
        s = pick_rows(states, perturbation_row)
        delta = self.decoder(self.dropout(s, generator), generator)
        return Prediction(delta.to(control.dtype), {})


def build_app(dataset: PreparedDataset, config: Config, seed: int) -> App:
    """Build the untrained network of a trial; no split is read.

    The trial's seed draws parameters, random features, noise of the network and shuffled text.

    Raises:
        InputError: Features that the data set does not have.
    """
    neighbours = build_neighbours(dataset.shared, config.graph, seed)
    with seeded_initialisation(seed):
        features = FEATURES[config.app.node_features](dataset, config, seed)
        aggregate = AGGREGATIONS[config.app.aggregation](neighbours)
        place = NodePlace(dataset.shared, config.graph)
        return App(config.app, features, aggregate, place, dataset.n_genes)
