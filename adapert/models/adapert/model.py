"""AdaPert: control encoder, perturbation-conditioned context, decoder (Figure 2 of the AdaPert paper)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from adapert.config import Config, ModelConfig
from adapert.data.prepared import PreparedDataset
from adapert.evaluation.metrics import effective_rank
from adapert.models.adapert.adjacency import build_adjacency, neighbourhoods
from adapert.models.adapert.context import WEIGHTINGS, NodeScorer, above_threshold, best_nodes, gumbel_softmax
from adapert.models.adapert.message_passing import MessagePassing
from adapert.models.encoders import Perceptron, TextTable, build_text_tables
from adapert.models.network import Network, Prediction
from adapert.models.targets import NodePlace, Targets
from adapert.seeding import numpy_generator, seeded_initialisation

TEXT_FEATURE_SD = 0.5
"""SD of an untrained gene's projected text, where a row of the learnable table has 1; averaging over
neighbours shrinks the table's independent rows more than text, which neighbours share. Not in the paper."""


class Context(NamedTuple):
    """What the graph says of each perturbation.

    Attributes:
        z: Normalised z_context (Eq. 13), (n_perturbations, structural_size).
        h: Sum of the perturbed genes' structural embeddings, as `z`.
        weights: What each node counts in z_context before normalisation, (n_perturbations, n_nodes);
            None for the constant context.
        n_selected: Nodes in the context, (n_perturbations,).
    """

    z: Tensor
    h: Tensor
    weights: Tensor | None
    n_selected: Tensor


@dataclass(frozen=True)
class AdaPertPrediction(Prediction):
    """A forward pass of AdaPert.

    Attributes:
        context: Contexts of the distinct perturbations.
    """

    context: Context


class AdaPert(Network):
    """Predict the response of control profiles to perturbations (Eq. 1 to 13)."""

    def __init__(
        self,
        config: ModelConfig,
        message_passing: MessagePassing,
        texts: Sequence[TextTable],
        offset: Tensor,
        fixed_context: Tensor | None,
        place: NodePlace,
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            message_passing: Eq. 6 on the data set's graph.
            texts: Eq. 7, a row per node: a table for each source of embeddings, at least one.
            offset: Added to the decoder's output, (n_genes,).
            fixed_context: For each gene the nodes that a perturbation of it selects, 0 or 1,
                (n_nodes, n_nodes); None where selection is learned, constant or all nodes.
            place: From the data set's nodes, which targets name, to the graph's.
        """
        super().__init__()
        self.config = config
        text, *others = texts
        n_nodes, text_size = text.embedding.shape
        size, latent_size = config.structural_size, config.latent_size
        self.message_passing = message_passing
        self.text = text
        self.node_table = nn.Parameter(torch.randn(n_nodes, size))
        self.node_text = _node_projection(text_size, size)
        self.text_projection = nn.Linear(text_size, size, bias=False)
        self.scorer = NodeScorer(size, config.score_size, config.score_activation)
        self.constant_context = nn.Parameter(torch.randn(size))
        self.context_norm = nn.LayerNorm(size)
        self.gene_to_latent = nn.Linear(size, latent_size)
        self.context_to_latent = nn.Linear(size, latent_size)
        # An untrained scorer's context is noise: it enters only as far as training finds use for it.
        nn.init.zeros_(self.context_to_latent.weight)
        self.encoder = Perceptron(len(offset), config.hidden_size, latent_size, config.dropout)
        self.decoder = Perceptron(latent_size, config.hidden_size, len(offset), config.dropout)
        self.other_texts = nn.ModuleList(others)
        sizes = [other.embedding.shape[1] for other in others]
        self.other_node_texts = nn.ModuleList(_node_projection(other_size, size) for other_size in sizes)
        self.other_projections = nn.ModuleList(
            nn.Linear(other_size, size, bias=False) for other_size in sizes
        )
        self.register_buffer("offset", offset)
        self.register_buffer("fixed_context", fixed_context, persistent=False)
        self.place = place

    def node_embeddings(self) -> Tensor:
        """Structural embeddings h_v of all nodes (Eq. 5 and 6), (n_nodes, structural_size)."""
        features = self.config.node_features
        if features == "one_hot":
            return self.message_passing(self.node_table)  # type: ignore[no-any-return]
        text = self.node_text(self.text())
        for other, project in zip(self.other_texts, self.other_node_texts, strict=True):
            text = text + project(other())
        return self.message_passing(text if features == "text" else self.node_table + text)  # type: ignore[no-any-return]

    def node_weights(self, targets: Targets, h: Tensor, generator: torch.Generator | None) -> Tensor:
        """What each node counts in each perturbation's context, (n_perturbations, n_nodes)."""
        return self._node_weights(self.place(targets), h, generator)

    def _node_weights(self, targets: Targets, h: Tensor, generator: torch.Generator | None) -> Tensor:
        config = self.config
        is_perturbed = targets.mark(len(h))
        if config.context == "all_nodes":
            return torch.ones_like(is_perturbed)
        if self.fixed_context is not None:
            chosen = self.fixed_context[targets.nodes] * targets.is_gene.unsqueeze(-1)  # type: ignore[index]
            return torch.maximum(chosen.amax(dim=1), is_perturbed)
        alpha = self._node_relevance(targets, h, generator)
        if config.selection == "top_k":
            is_selected = best_nodes(alpha, config.context_size, is_perturbed)
        else:
            is_selected = above_threshold(alpha, config.threshold, is_perturbed)
        return WEIGHTINGS[config.selection](alpha, is_selected)

    def node_relevance(self, targets: Targets, h: Tensor, generator: torch.Generator | None) -> Tensor:
        """How much each node matters to each perturbation: alpha of Eq. 12, (n_perturbations, n_nodes)."""
        return self._node_relevance(self.place(targets), h, generator)

    def _node_relevance(self, targets: Targets, h: Tensor, generator: torch.Generator | None) -> Tensor:
        s = self.text_projection(_sum_text(self.text, targets))
        for other, project in zip(self.other_texts, self.other_projections, strict=True):
            s = s + project(_sum_text(other, targets))
        return gumbel_softmax(self.scorer(h, s), self.config.tau, generator)

    def contexts(self, targets: Targets, generator: torch.Generator | None = None) -> Context:
        """Select nodes and sum their embeddings (Eq. 13), for each perturbation.

        Args:
            targets: Genes of the perturbations.
            generator: Draws Gumbel noise; None (prediction) draws none.

        Raises:
            InputError: A gene that is not in the graph.
        """
        targets = self.place(targets)
        h = self.node_embeddings()
        own = targets.sum_rows(h)
        if self.config.context == "constant":
            z = self.context_norm(self.constant_context).expand(len(own), -1)
            return Context(z, own, None, torch.zeros(len(own), device=own.device))
        weights = self._node_weights(targets, h, generator)
        n_selected = self.is_counted(weights).sum(dim=1)
        # The layer norm is computed in float32 under autocast too.
        return Context(self.context_norm((weights @ h).float()), own, weights, n_selected)

    def is_counted(self, weights: Tensor) -> Tensor:
        """Which nodes are selected, by what each counts; bool, as `weights`."""
        # A selected node counts 1, also where T is out of every node's reach.
        return weights > min(self.config.threshold / weights.shape[1], 0.5)

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: torch.Generator | None = None,
    ) -> AdaPertPrediction:
        """Predict rows: DEC(z_c + W_p h_p + W_x z_context), added to the control profile.

        Args:
            targets: Genes of the distinct perturbations, n_perturbations.
            perturbation_row: Perturbation of each row, (n_rows,).
            control: Distinct control profiles, log1p units, (n_controls, n_genes).
            control_row: Control profile of each row, (n_rows,).
            generator: Draws Gumbel noise and dropout; None is prediction, which is deterministic.
        """
        context = self.contexts(targets, generator)
        shift = self.gene_to_latent(context.h) + self.context_to_latent(context.z)
        latent = self.encoder(control, generator)[control_row] + shift[perturbation_row]
        delta = self.decoder(latent, generator).float() + self.offset
        if self.config.predict == "expression":
            delta = delta - control[control_row]
        observed = {"z": context.z.detach(), "n_selected": context.n_selected.float()}
        return AdaPertPrediction(delta, observed, context)

    def epoch_report(self, observed: Mapping[str, Tensor]) -> dict[str, float]:
        """How many nodes the contexts of an epoch held, and how many directions they used."""
        return {
            "n_selected": observed["n_selected"].mean().item(),
            "context_effective_rank": effective_rank(observed["z"].cpu().numpy()),
        }


def _node_projection(text_size: int, size: int) -> nn.Linear:
    projection = nn.Linear(text_size, size, bias=False)
    # By torch's default L2-normalised text would hardly count against the table.
    nn.init.normal_(projection.weight, std=TEXT_FEATURE_SD)
    return projection


def _sum_text(text: nn.Module, targets: Targets) -> Tensor:
    """Sum the text of each perturbation's genes, (n_perturbations, text_size)."""
    summed: Tensor = (text(targets.nodes) * targets.is_gene.unsqueeze(-1)).sum(dim=1)
    return summed


def build_model(dataset: PreparedDataset, config: Config, seed: int) -> AdaPert:
    """Build the untrained model of a trial; of the splits the training split is read, for the offset.

    The trial's seed draws parameters, rewiring, shuffled text and random contexts.
    """
    adjacency = build_adjacency(dataset.shared, config.graph, config.model.self_loops, seed)
    with seeded_initialisation(seed):
        message_passing = MessagePassing(
            adjacency,
            config.model.structural_size,
            config.model.n_graph_layers,
            config.model.graph_activation,
            config.model.residual,
        )
        return AdaPert(
            config.model,
            message_passing,
            build_text_tables(dataset, config, seed),
            _offset(dataset, config),
            _fixed_context(adjacency, config.model, seed),
            NodePlace(dataset.shared, config.graph),
        )


def _offset(dataset: PreparedDataset, config: Config) -> Tensor:
    if config.model.offset == "none" or "train" not in dataset.splits:
        return torch.zeros(dataset.n_genes)  # without splits, trained weights bring it
    mean = dataset.splits["train"].table.delta.mean(axis=0)
    if config.model.predict == "expression":
        mean = mean + dataset.shared.control_mean
    return torch.from_numpy(np.asarray(mean, dtype=np.float32))


def _fixed_context(adjacency: scipy.sparse.csr_array, config: ModelConfig, seed: int) -> Tensor | None:
    if config.context == "neighbourhood":
        return torch.from_numpy(neighbourhoods(adjacency))
    if config.context == "random":
        n_nodes = adjacency.shape[0]
        draws = numpy_generator(seed, "random_context").random((n_nodes, n_nodes), dtype=np.float32)
        size = min(config.context_size, n_nodes)
        # The nodes of the smallest draws: any set of this size is as likely.
        chosen = np.argpartition(draws, size - 1, axis=1)[:, :size]
        marks = np.zeros((n_nodes, n_nodes), dtype=np.float32)
        np.put_along_axis(marks, chosen, 1.0, axis=1)
        return torch.from_numpy(marks)
    return None
