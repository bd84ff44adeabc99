"""GEARS: a gene's state, from genes it is expressed with, meets a perturbation's, from the network.

Written from the equations, with facts of the public package (cell-gears 0.1.2): sizes, normalisation, rows of
tables that are at most 1 long.
"""

import torch
from torch import Tensor, nn

from adapert.config import Config, GearsConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import build_trial_graph
from adapert.models.gears.coexpression import Coexpression, Partners, find_partners
from adapert.models.gears.graph_convolution import GraphConvolutions, normalised_adjacency
from adapert.models.gears.grid import Grid
from adapert.models.gears.normed_layers import NormedLayers
from adapert.models.network import Network, Prediction
from adapert.models.row_norm import RowNorm
from adapert.models.row_picks import pick_rows
from adapert.models.sparse_product import SparseProduct
from adapert.models.targets import NodePlace, Targets
from adapert.seeding import seeded_initialisation

POSITION_SHARE = 0.2
"""How much of what a gene is expressed with enters its state."""


class Gears(Network):
    """Predict deltas of perturbations P; the control profile is not read.

        b = MLP(relu(BN(E)) + .2 SGConv(E', co-expression))
        u_P = MLP(sum over p in P of SGConv(T, network)_p)
        r_n = w_n . MLP(relu(BN(b_n + u_P))) + v_n
        c = MLP(r)
        delta_n = w'_n . [r_n, c] + v'_n

    The grid of perturbations and genes is `adapert.models.gears.grid.Grid`.
    """

    def __init__(
        self, config: GearsConfig, network: SparseProduct, partners: Partners, place: NodePlace, n_nodes: int
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            network: Normalised adjacency of the genes that can be perturbed.
            partners: Co-expressed genes of each measured one.
            place: From the data set's nodes, which targets name, to the network's.
            n_nodes: Nodes of the network.
        """
        super().__init__()
        size, n_genes = config.size, len(partners.source)
        self.network, self.coexpression, self.place = network, Coexpression(partners), place
        self.genes = nn.Embedding(n_genes, size, max_norm=1.0)
        self.gene_norm = nn.BatchNorm1d(size)
        self.positions = nn.Embedding(n_genes, size, max_norm=1.0)
        self.position_layers = GraphConvolutions(config.n_coexpression_layers, size)
        self.base = NormedLayers((size, size, size), nn.BatchNorm1d)
        self.perturbations = nn.Embedding(n_nodes, size, max_norm=1.0)
        self.network_layers = GraphConvolutions(config.n_network_layers, size)
        self.fuse = NormedLayers((size, size, size), RowNorm)
        self.grid = Grid(size)
        self.gene_weight = nn.Parameter(torch.empty(n_genes, size))
        self.gene_bias = nn.Parameter(torch.empty(n_genes))
        self.cross = NormedLayers((n_genes, size, size), RowNorm) if config.cross_gene else None
        self.own_weight = nn.Parameter(torch.empty(n_genes))
        self.cross_weight = nn.Parameter(torch.empty(n_genes, size)) if config.cross_gene else None
        self.delta_bias = nn.Parameter(torch.empty(n_genes))
        self._draw_readouts()

    @torch.no_grad()
    def _draw_readouts(self) -> None:
        """Draw the weights of each gene by Glorot's rule for the whole table, as the public package does."""
        n_genes, size = self.gene_weight.shape
        self.gene_weight.normal_(std=(2 / (n_genes + size)) ** 0.5)
        sd = (2 / ((size + 1) * (n_genes + 1))) ** 0.5
        self.own_weight.normal_(std=sd)
        for bias in (self.gene_bias, self.delta_bias):
            bias.normal_(std=(2 / (n_genes + 1)) ** 0.5)
        if self.cross_weight is not None:
            self.cross_weight.normal_(std=sd)

    def gene_states(self) -> Tensor:
        """B, (n_genes, size)."""
        numbers = torch.arange(self.genes.num_embeddings, device=self.gene_bias.device)
        own = torch.relu(self.gene_norm(self.genes(numbers)))
        position = self.position_layers(self.positions(numbers), self.coexpression)
        return self.base(own + POSITION_SHARE * position)  # type: ignore[no-any-return]

    def perturbation_states(self, targets: Targets) -> Tensor:
        """U, (n_perturbations, size); targets are nodes of the network."""
        numbers = torch.arange(self.perturbations.num_embeddings, device=self.gene_bias.device)
        table = self.network_layers(self.perturbations(numbers), self.network)
        return self.fuse(targets.sum_rows(table))  # type: ignore[no-any-return]

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
        u = self.perturbation_states(self.place(targets))
        r = self.grid(self.gene_states(), u, self.gene_weight, self.gene_bias)
        delta = r * self.own_weight + self.delta_bias
        if self.cross is not None and self.cross_weight is not None:
            delta = delta + self.cross(r) @ self.cross_weight.T
        return Prediction(pick_rows(delta, perturbation_row).to(control.dtype), {})


def build_gears(dataset: PreparedDataset, config: Config, seed: int) -> Gears:
    """Build the untrained network of a trial; without a training split, one that weights are loaded into.

    The trial's seed draws parameters, noise of the network, and training cells where there are too many.

    Raises:
        InputError: Several networks, or one that the data set does not have.
    """
    settings = config.gears
    graph = build_trial_graph(dataset.shared, config.graph, seed)
    edges, n_nodes = graph.single(), len(graph.nodes)
    # Jaccard indices of gene sets count as they are; STRING's scores go up to 1000.
    weight = edges.edge_weight / max(1.0, edges.edge_weight.max(initial=0))
    adjacency = normalised_adjacency(edges.edge_source, edges.edge_target, weight, n_nodes)
    partners = Partners.none(dataset.n_genes, config.graph.top_k)
    if "train" in dataset.splits and settings.n_coexpression_layers:
        partners = find_partners(dataset, settings.coexpression_threshold, config.graph.top_k, seed)
    with seeded_initialisation(seed):
        place = NodePlace(dataset.shared, config.graph)
        return Gears(settings, SparseProduct(adjacency), partners, place, n_nodes)
