"""AdaPert: control encoder, perturbation-conditioned context, decoder (Figure 2 of the AdaPert paper)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, cast

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from adapert.config import Config, ModelConfig
from adapert.data.prepared import PreparedDataset
from adapert.evaluation.metrics import effective_rank
from adapert.models import tensor_metrics
from adapert.models.adapert.adjacency import build_adjacency, neighbourhoods
from adapert.models.adapert.context import WEIGHTINGS, NodeScorer, above_threshold, best_nodes, gumbel_softmax
from adapert.models.adapert.features import build_network_features
from adapert.models.adapert.message_passing import MessagePassing
from adapert.models.adapert.output import Output, build_output
from adapert.models.encoders import Perceptron, TextTable, build_text_tables
from adapert.models.heads import HeadLinear, HeadPerceptron
from adapert.models.network import Network, Prediction
from adapert.models.noise import Noise
from adapert.models.row_picks import pick_rows
from adapert.models.spectrum import NodeTable
from adapert.models.targets import NodePlace, Targets
from adapert.seeding import numpy_generator, seeded_initialisation

NODE_FEATURE_SD = 0.5
"""SD of each untrained projection to h(0), where a row of the learnable table has 1; averaging over
neighbours shrinks the table's independent rows more than text, which neighbours share. Not in the paper."""

OWN_FEATURE_SD = 0.3
"""SD of the latent state's units from each fixed part of an untrained gene's own features, whose rows have
length 1. The smaller, the smoother what is learned of a part. Not in the paper."""


class Context(NamedTuple):
    """What the graph says of each perturbation.

    Attributes:
        z: Normalised z_context (Eq. 13), (n_perturbations, structural_size).
        h: Sum of the perturbed genes' structural embeddings (Eq. 6), as `z`; None where nothing reads them.
        weights: What each node counts in z_context before normalisation, (n_perturbations, n_nodes);
            None for the constant context.
        n_selected: Nodes in the context, (n_perturbations,).
    """

    z: Tensor
    h: Tensor | None
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
        network_features: Sequence[NodeTable],
        output: Output,
        fixed_context: Tensor | None,
        place: NodePlace,
    ) -> None:
        """Make the parts; parameters are drawn from torch's global generator.

        Args:
            config: Sizes and forms.
            message_passing: Eq. 6 on the data set's graph.
            texts: Eq. 7, a row per node: a table for each source of embeddings, at least one.
            network_features: What the network says of each node before any message.
            output: From the decoder's output to expression.
            fixed_context: For each gene the nodes that a perturbation of it selects, 0 or 1,
                (n_nodes, n_nodes); None where selection is learned, constant or all nodes.
            place: From the data set's nodes, which targets name, to the graph's.
        """
        super().__init__()
        self.config = config
        # Tensors, as trials trained side by side differ in them.
        self.tau: Tensor
        self.threshold: Tensor
        self.register_buffer("tau", torch.tensor(config.tau), persistent=False)
        self.register_buffer("threshold", torch.tensor(config.threshold), persistent=False)
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
        # An untrained scorer's context is noise: it enters only as far as training finds use for it.
        self.context_to_latent = HeadLinear(config.n_heads, size, latent_size, sd=0)
        self.encoder = Perceptron(len(output.offset), config.hidden_size, latent_size, config.dropout)
        self.decoder = HeadPerceptron(
            config.n_heads,
            latent_size,
            config.hidden_size,
            config.decoder_layers,
            output.n_inputs,
            config.dropout,
        )
        self.output = output
        self.other_texts = nn.ModuleList(others)
        text_sizes = [table.size for table in texts]
        network_sizes = [table.size for table in network_features]
        self.other_node_texts = nn.ModuleList(_node_projection(n_inputs, size) for n_inputs in text_sizes[1:])
        self.other_projections = nn.ModuleList(
            nn.Linear(n_inputs, size, bias=False) for n_inputs in text_sizes[1:]
        )
        self.network_features = nn.ModuleList(network_features)
        self.node_network = nn.ModuleList(_node_projection(n_inputs, size) for n_inputs in network_sizes)
        self.gene_to_latent = nn.ModuleList(
            HeadLinear(config.n_heads, n_inputs, latent_size, sd)
            for n_inputs, sd in _own_inputs(config, text_sizes, network_sizes)
        )
        self.fixed_context: Tensor | None
        self.register_buffer("fixed_context", fixed_context, persistent=False)
        self.place = place

    def node_embeddings(self) -> Tensor:
        """Structural embeddings h_v of all nodes (Eq. 5 and 6), (n_nodes, structural_size)."""
        parts = [table.project(projection) for table, projection in self._tables()]
        if "one_hot" in self.config.feature_parts:
            parts.insert(0, self.node_table)
        return self.message_passing(reduce(torch.add, parts))  # type: ignore[no-any-return]

    def _tables(self) -> list[tuple[TextTable | NodeTable, nn.Linear]]:
        """Each table of node features but the learnable one, with its projection to h(0)."""
        texts = zip([self.text, *self.other_texts], [self.node_text, *self.other_node_texts], strict=True)
        network = zip(self.network_features, self.node_network, strict=True)
        tables = [*(texts if "text" in self.config.feature_parts else ()), *network]
        return cast("list[tuple[TextTable | NodeTable, nn.Linear]]", tables)

    def _own(self, targets: Targets, h: Tensor | None) -> list[Tensor]:
        """What the perturbed genes themselves are, in parts: (n_perturbations, size) each."""
        if self.config.own_embedding == "none":
            return []
        if h is not None and self.config.own_embedding == "structural":
            return [h]
        parts = [_sum_rows(table, targets) for table, _ in self._tables()]
        if "one_hot" in self.config.feature_parts:
            parts.insert(0, targets.sum_rows(self.node_table))
        return parts

    def node_weights(self, targets: Targets, h: Tensor, generator: Noise | None) -> Tensor:
        """What each node counts in each perturbation's context, (n_perturbations, n_nodes)."""
        return self._node_weights(self.place(targets), h, generator)

    def _node_weights(self, targets: Targets, h: Tensor, generator: Noise | None) -> Tensor:
        config = self.config
        is_perturbed = targets.mark(len(h))
        if config.context == "all_nodes":
            return torch.ones_like(is_perturbed)
        if self.fixed_context is not None:
            chosen = pick_rows(self.fixed_context, targets.nodes) * targets.is_gene.unsqueeze(-1)
            return torch.maximum(chosen.amax(dim=1), is_perturbed)
        alpha = self._node_relevance(targets, h, generator)
        if config.selection == "top_k":
            is_selected = best_nodes(alpha, config.context_size, is_perturbed)
        else:
            is_selected = above_threshold(alpha, self.threshold, is_perturbed)
        return WEIGHTINGS[config.selection](alpha, is_selected)

    def node_relevance(self, targets: Targets, h: Tensor, generator: Noise | None) -> Tensor:
        """How much each node matters to each perturbation: alpha of Eq. 12, (n_perturbations, n_nodes)."""
        return self._node_relevance(self.place(targets), h, generator)

    def _node_relevance(self, targets: Targets, h: Tensor, generator: Noise | None) -> Tensor:
        s = self.text_projection(_sum_rows(self.text, targets))
        for other, project in zip(self.other_texts, self.other_projections, strict=True):
            s = s + project(_sum_rows(other, targets))
        return gumbel_softmax(self.scorer(h, s), self.tau, generator)

    def contexts(self, targets: Targets, generator: Noise | None = None) -> Context:
        """Select nodes and sum their embeddings (Eq. 13), for each perturbation.

        Args:
            targets: Genes of the perturbations.
            generator: Draws Gumbel noise; None (prediction) draws none.

        Raises:
            InputError: A gene that is not in the graph.
        """
        return self._contexts(self.place(targets), generator)

    def _contexts(self, targets: Targets, generator: Noise | None) -> Context:
        is_constant = self.config.context == "constant"
        if is_constant and self.config.own_embedding != "structural":
            return self._constant_context(targets, None)
        h = self.node_embeddings()
        own = targets.sum_rows(h)
        if is_constant:
            return self._constant_context(targets, own)
        weights = self._node_weights(targets, h, generator)
        n_selected = self.is_counted(weights).sum(dim=1)
        # The layer norm is computed in float32 under autocast too.
        return Context(self.context_norm((weights @ h).float()), own, weights, n_selected)

    def _constant_context(self, targets: Targets, own: Tensor | None) -> Context:
        n_perturbations = len(targets.nodes)
        z = self.context_norm(self.constant_context).expand(n_perturbations, -1)
        return Context(z, own, None, torch.zeros(n_perturbations, device=z.device))

    def is_counted(self, weights: Tensor) -> Tensor:
        """Which nodes are selected, by what each counts; bool, as `weights`."""
        # A selected node counts 1, also where T is out of every node's reach.
        return weights > (self.threshold / weights.shape[1]).clamp(max=0.5)

    def forward(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        generator: Noise | None = None,
    ) -> AdaPertPrediction:
        """Predict rows: DEC(z_c + W_p x_p + W_x z_context), added to the control profile.

        In training each head predicts, and none is averaged: each is a model of its own.

        Args:
            targets: Genes of the distinct perturbations, n_perturbations.
            perturbation_row: Perturbation of each row, (n_rows,).
            control: Distinct control profiles, log1p units, (n_controls, n_genes).
            control_row: Control profile of each row, (n_rows,).
            generator: Draws Gumbel noise and dropout; None is prediction, which is deterministic.
        """
        targets = self.place(targets)
        context = self._contexts(targets, generator)
        shift = self.context_to_latent(context.z)
        own = self._own(targets, context.h)
        for part, to_latent in zip(own, self.gene_to_latent, strict=True):
            shift = shift + to_latent(part)
        encoded = pick_rows(self.encoder(control, generator), control_row)
        latent = encoded + pick_rows(shift, perturbation_row, dim=1)
        decoded = self.decoder(latent, generator).float()
        # The output is linear: the heads' mean may be taken before it.
        delta = self.output(decoded if self.training else decoded.mean(dim=0))
        if self.config.predict == "expression":
            delta = delta - pick_rows(control, control_row)
        observed = {"z": context.z.detach(), "n_selected": context.n_selected.float()}
        return AdaPertPrediction(delta, observed, context)

    def epoch_report(self, observed: Mapping[str, Tensor]) -> dict[str, Tensor | float]:
        """How many nodes the contexts of an epoch held, and how many directions they used."""
        z = observed["z"]
        rank = effective_rank(z.numpy()) if z.device.type == "cpu" else tensor_metrics.effective_rank(z)
        return {"n_selected": observed["n_selected"].mean(), "context_effective_rank": rank}


def _own_inputs(
    config: ModelConfig, text_sizes: Sequence[int], network_sizes: Sequence[int]
) -> list[tuple[int, float]]:
    """Size of each part that perturbed genes themselves enter by, and SD of its untrained weights."""
    size, parts = config.structural_size, config.feature_parts
    if config.own_embedding == "none":
        return []
    if config.own_embedding == "structural":
        return [(size, size**-0.5)]
    own_table = [(size, size**-0.5)] if "one_hot" in parts else []
    scales = [1.0] + [config.other_scale] * (len(text_sizes) - 1)
    texts = [(n_inputs, OWN_FEATURE_SD * scale) for n_inputs, scale in zip(text_sizes, scales, strict=True)]
    texts = texts if "text" in parts else []
    return [*own_table, *texts, *((n_inputs, OWN_FEATURE_SD) for n_inputs in network_sizes)]


def _node_projection(n_inputs: int, size: int) -> nn.Linear:
    projection = nn.Linear(n_inputs, size, bias=False)
    # By torch's default rows of length 1 would hardly count against the table.
    nn.init.normal_(projection.weight, std=NODE_FEATURE_SD)
    return projection


def _sum_rows(table: nn.Module, targets: Targets) -> Tensor:
    """Sum a table's rows of each perturbation's genes, (n_perturbations, size)."""
    summed: Tensor = (table(targets.nodes) * targets.is_gene.unsqueeze(-1)).sum(dim=1)
    return summed


def build_model(dataset: PreparedDataset, config: Config, seed: int) -> AdaPert:
    """Build the untrained model of a trial; of the splits the training split is read, for the output.

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
        texts = build_text_tables(dataset, config, seed)
        return AdaPert(
            config.model,
            message_passing,
            texts,
            build_network_features(dataset, config, adjacency, texts, seed),
            build_output(dataset, config.model),
            _fixed_context(adjacency, config.model, seed),
            NodePlace(dataset.shared, config.graph),
        )


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
