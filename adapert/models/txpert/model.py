"""TxPert's network: gene embeddings by graph attention, which shift the encoded control (own version).

Written from the paper's equations; sizes and forms that it leaves open are those of `TxPertConfig`.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config, TxPertConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import build_trial_graph
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.network import Network, Prediction
from adapert.models.row_picks import pick_rows
from adapert.models.targets import NodePlace, Targets
from adapert.models.txpert.encoders import GRAPH_ENCODERS, GraphEncoder, build_graphs
from adapert.models.txpert.perceptron import UNIT_NORMS, NormedPerceptron
from adapert.seeding import numpy_generator, seeded_initialisation

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
        graphs: Sequence[AttentionGraph],
        expander: np.random.Generator,
        place: NodePlace,
        n_genes: int,
        basal_norm: str,
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            graphs: Edges of each network among the genes that can be perturbed; their weights are not read.
            expander: Draws the random edges of Exphormer.
            place: From the data set's nodes, which targets name, to the graph's.
            n_genes: Number of measured genes.
            basal_norm: Norm of the basal encoder's hidden units, one of `UNIT_NORMS`.
        """
        super().__init__()
        hidden_size, latent_size, dropout = config.hidden_size, config.latent_size, config.dropout
        self.place = place
        # As wide as a layer, so that every kind of skip fits.
        self.node_table = nn.Parameter(torch.randn(graphs[0].n_nodes, config.size))
        self.graph_encoder: GraphEncoder = GRAPH_ENCODERS[config.layer](graphs, config, expander)
        # Not in the paper, whose layers end at the latent size. Without a shift, no gene is no change.
        self.to_latent = nn.Linear(self.graph_encoder.out_size, latent_size, bias=False)
        self.basal = None
        if config.basal == "mlp":
            self.basal = NormedPerceptron(
                n_genes, hidden_size, latent_size, UNIT_NORMS[basal_norm](hidden_size), dropout
            )
        self.decoder = NormedPerceptron(
            latent_size, hidden_size, n_genes, UNIT_NORMS[config.norm](hidden_size), dropout
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
        latents = self.place(targets).sum_rows(self.gene_embeddings(generator))
        latent = pick_rows(latents, perturbation_row)
        if self.basal is None:
            return Prediction(self.decoder(latent, generator).float(), {})
        latent = latent + pick_rows(self.basal(control, generator), control_row)
        expression = self.decoder(latent, generator).float()
        return Prediction(expression - control[control_row], {})


def build_model(dataset: PreparedDataset, config: Config, seed: int) -> TxPert:
    """Build the untrained network of a trial, of no split.

    The trial's seed draws parameters, and rewired, noisy and random edges of the graph.

    Raises:
        InputError: Several networks for a layer that reads one, or sizes that cannot be cut into the heads.
    """
    graph = build_trial_graph(dataset.shared, config.graph, seed)
    if not config.reads_several_networks:
        graph.single()
    graphs = build_graphs(graph, config.txpert.self_loops)
    with seeded_initialisation(seed):
        return TxPert(
            config.txpert,
            graphs,
            numpy_generator(seed, "expander"),
            NodePlace(dataset.shared, config.graph),
            dataset.n_genes,
            _basal_norm(config),
        )


def _basal_norm(config: Config) -> str:
    """Name the norm of the basal encoder's hidden units: over averaged controls, no batch is normalised.

    Over one control batch normalisation is its shift alone: no gradient reaches the layer before, and with a
    variance of 0 any other control explodes. Averages of batches differ so little that a step of the
    optimiser moves all of them further than they are apart: running statistics never catch up.
    """
    norm = config.txpert.norm
    if norm == "batch" and config.data.control != "cell":
        _LOGGER.debug("Averaged controls: the basal encoder is normalised by layer, not by batch.")
        return "layer"
    return norm
