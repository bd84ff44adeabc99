"""TxPert's network: gene embeddings by graph attention, which shift the encoded control (own version).

Written from the paper's equations; sizes and forms that it leaves open are those of `TxPertConfig`.
"""

import logging

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config, TxPertConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import build_trial_graph
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.stack import GraphAttentionStack
from adapert.models.network import Network, Prediction
from adapert.models.targets import NodePlace, Targets
from adapert.models.txpert.perceptron import NORMS, ControlNorm, NormedPerceptron
from adapert.seeding import seeded_initialisation

_LOGGER = logging.getLogger(__name__)


class TxPert(Network):
    """Predict the expression of control profiles after perturbations P.

        Z = GNN(H), z_p its row of gene p
        x_hat = g(s + sum over p in P of z_p), s = basal(x)

    or, without a basal encoder, x_hat = x + g(sum over p in P of z_p).
    """

    def __init__(
        self,
        config: TxPertConfig,
        graph: AttentionGraph,
        place: NodePlace,
        n_genes: int,
        has_several_controls: bool,
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            graph: Edges among the genes that can be perturbed; their weights are not read.
            place: From the data set's nodes, which targets name, to the graph's.
            n_genes: Number of measured genes.
            has_several_controls: Whether training has several control profiles; see `ControlNorm`.
        """
        super().__init__()
        hidden_size, latent_size, dropout = config.hidden_size, config.latent_size, config.dropout
        self.place = place
        # As wide as a layer, so that every kind of skip fits.
        self.node_table = nn.Parameter(torch.randn(graph.n_nodes, config.size))
        self.graph_encoder = GraphAttentionStack(
            graph,
            config.size,
            layer=config.layer,
            n_layers=config.n_layers,
            size=config.size,
            n_heads=config.n_heads,
            skip=config.skip,
            norm=config.norm,
            dropout=dropout,
        )
        # Not in the paper, whose layers end at the latent size. Without a shift, no gene is no change.
        self.to_latent = nn.Linear(self.graph_encoder.out_size, latent_size, bias=False)
        self.basal = None
        if config.basal == "mlp":
            norm = (
                ControlNorm(hidden_size, has_several_controls)
                if config.norm == "batch"
                else NORMS[config.norm](hidden_size)
            )
            self.basal = NormedPerceptron(n_genes, hidden_size, latent_size, norm, dropout)
        self.decoder = NormedPerceptron(
            latent_size, hidden_size, n_genes, NORMS[config.norm](hidden_size), dropout
        )

    def gene_embeddings(self, generator: torch.Generator | None = None) -> Tensor:
        """Embed all genes of the graph: Z, (n_nodes, latent_size)."""
        return self.to_latent(self.graph_encoder(self.node_table, generator))  # type: ignore[no-any-return]

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> Prediction:
        """Predict rows; arguments as `Network` says.

        Raises:
            InputError: A gene that is not in the graph.
        """
        latent = self.place(targets).sum_rows(self.gene_embeddings(generator))[perturbation_row]
        if self.basal is None:
            return Prediction(self.decoder(latent, generator).float(), {})
        latent = latent + self.basal(control, generator)[control_row]
        expression = self.decoder(latent, generator).float()
        return Prediction(expression - control[control_row], {})


def build_model(dataset: PreparedDataset, config: Config, seed: int) -> TxPert:
    """Build the untrained network of a trial; of the splits the training split is read, for its controls.

    The trial's seed draws parameters, rewiring and noise of the graph.
    """
    graph = _build_graph(dataset, config, seed)
    has_several_controls = _has_several_controls(dataset, config)
    is_replaced = config.txpert.basal == "mlp" and config.txpert.norm == "batch" and not has_several_controls
    if is_replaced and "train" in dataset.splits:
        _LOGGER.debug(
            "Training has a single control profile, over which no batch can be normalised: the hidden units "
            "of the basal encoder are normalised by layer."
        )
    with seeded_initialisation(seed):
        place = NodePlace(dataset.shared, config.graph)
        return TxPert(config.txpert, graph, place, dataset.n_genes, has_several_controls)


def _build_graph(dataset: PreparedDataset, config: Config, seed: int) -> AttentionGraph:
    graph = build_trial_graph(dataset.shared, config.graph, seed)
    edges = graph.single()
    return AttentionGraph(edges.edge_source, edges.edge_target, len(graph.nodes), config.txpert.self_loops)


def _has_several_controls(dataset: PreparedDataset, config: Config) -> bool:
    """Whether training rows differ in their control profiles."""
    if "train" not in dataset.splits or config.data.control == "mean":
        return False  # without splits, trained weights bring it
    if config.data.control == "cell":
        return len(dataset.control_cells) > 1
    batches = np.unique(dataset.splits["train"].table.group_batch_index)
    profiles = dataset.shared.batch_control_mean[batches]
    return bool((profiles != profiles[:1]).any())
