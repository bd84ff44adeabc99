import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset, with_second_network, without_node
from fixtures.narrowed import of_kind, present
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch_geometric.nn import GATConv, GATv2Conv

from adapert.config import Config
from adapert.data.array_tables import CellTable
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.models.graph_attention.layer import GraphAttention
from adapert.models.graph_attention.stack import GraphAttentionStack
from adapert.models.network import Prediction, restore_network
from adapert.models.networks import NETWORKS
from adapert.models.row_norm import RowNorm
from adapert.models.targets import build_targets
from adapert.models.txpert.model import TxPert, build_model
from adapert.models.txpert.perceptron import NormedPerceptron
from adapert.training.prediction import predict

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
SMALL = {
    "model.name": "txpert",
    "data.control": "cell",
    "txpert.n_layers": 2,
    "txpert.size": 5,
    "txpert.latent_size": 4,
    "txpert.hidden_size": 6,
}
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]
CONTROLS = torch.rand(3, N_GENES, generator=torch.Generator().manual_seed(1))
CONTROL_ROW = torch.tensor([2, 0, 0, 1])


def config_of(**changes: Any) -> Config:
    return Config().with_changes(
        SMALL | {f"txpert.{name}" if "." not in name else name: value for name, value in changes.items()}
    )


def build(dataset: PreparedDataset = DATASET, **changes: Any) -> TxPert:
    """A network none of whose weights and statistics is as at the start."""
    network = build_model(dataset, config_of(**changes), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator) / 2
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return network


@torch.no_grad()
def forward(network: TxPert, perturbations: list[str] = MIXED, controls: Tensor = CONTROLS) -> Prediction:
    rows = torch.arange(len(perturbations))
    control_row = CONTROL_ROW[: len(rows)] % len(controls)
    return network(build_targets(DATASET, perturbations, CPU), rows, controls, control_row)  # type: ignore[no-any-return]


def stack_of(network: TxPert) -> GraphAttentionStack:
    return of_kind(GraphAttentionStack, network.graph_encoder)


def loop_attention(network: TxPert, number: int, h: list[Tensor]) -> list[Tensor]:
    """A layer's attention of every node to itself and to its neighbours, averaged over heads."""
    conv = of_kind(GraphAttention, stack_of(network).layers[number]).conv
    n_heads, size = conv.heads, conv.out_channels
    shared, following = DATASET.shared, []
    for v in range(N_NODES):
        neighbours = [v, *shared.edge_source[shared.edge_target == v].tolist()]
        out = torch.zeros(size)
        for head in range(n_heads):
            rows = slice(head * size, (head + 1) * size)
            if isinstance(conv, GATv2Conv):
                values = {u: (conv.lin_l(h[u]))[rows] for u in neighbours}
                own = conv.lin_r(h[v])[rows]
                scores = [conv.att[0, head] @ leaky_relu(values[u] + own, 0.2) for u in neighbours]
            else:
                values = {u: (of_kind(nn.Module, conv.lin)(h[u]))[rows] for u in neighbours}
                of_source, of_target = conv.att_src[0, head], conv.att_dst[0, head]
                scores = [leaky_relu(of_source @ values[u] + of_target @ values[v], 0.2) for u in neighbours]
            terms = [score.exp() for score in scores]
            for u, term in zip(neighbours, terms, strict=True):
                out += term / sum(terms) * values[u] / n_heads
        following.append(out + conv.bias)
    return following


def normalise(rows: list[Tensor], norm: nn.Module) -> list[Tensor]:
    """Subtract each unit's mean over the rows, divide by its SD, then scale and shift."""
    stacked = torch.stack(rows)
    mean, variance = stacked.mean(dim=0), stacked.var(dim=0, correction=0)
    weight, bias = (of_kind(Tensor, getattr(norm, name)) for name in ("weight", "bias"))
    return [(row - mean) / (variance + 1e-5).sqrt() * weight + bias for row in rows]


def loop_perceptron(part: NormedPerceptron, x: Tensor) -> Tensor:
    hidden = part.first.weight @ x + part.first.bias
    norm = of_kind(RowNorm, part.norm)
    mean, variance = present(norm.running_mean), present(norm.running_var)
    hidden = (hidden - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias
    return part.second.weight @ leaky_relu(hidden, 0.01) + part.second.bias


@pytest.mark.parametrize("layer", ["gat", "gat_v2"])
@pytest.mark.parametrize("basal", ["mlp", "none"])
def test_a_prediction_equals_a_plain_loop_over_the_papers_equations(layer: str, basal: str) -> None:
    network = build(layer=layer, basal=basal).eval()
    predicted = forward(network).delta
    with torch.no_grad():
        h = list(network.node_table)
        first = normalise(loop_attention(network, 0, h), stack_of(network).norms[0])
        h = [torch.cat([leaky_relu(new, 0.2), old]) for new, old in zip(first, h, strict=True)]
        h = [torch.cat([new, old]) for new, old in zip(loop_attention(network, 1, h), h, strict=True)]
        for row, (perturbation, control_row) in enumerate(zip(MIXED, CONTROL_ROW, strict=True)):
            z = [network.to_latent.weight @ h[gene] for gene in DATASET.perturbed_nodes(perturbation)]
            latent, x = torch.stack(z).sum(dim=0), CONTROLS[control_row]
            if network.basal is None:
                expected = x + loop_perceptron(network.decoder, latent)
            else:
                expected = loop_perceptron(network.decoder, loop_perceptron(network.basal, x) + latent)
            torch.testing.assert_close(predicted[row] + x, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layer", "kind"), [("gat", GATConv), ("gat_v2", GATv2Conv)])
@pytest.mark.parametrize("skip", ["none", "add", "cat"])
def test_embeddings_are_those_of_pytorch_geometrics_layers_with_the_same_weights(
    layer: str, kind: type[nn.Module], skip: str
) -> None:
    network = build(layer=layer, skip=skip, norm="none", n_heads=3)
    source, target = (
        torch.from_numpy(ends).long() for ends in (DATASET.shared.edge_source, DATASET.shared.edge_target)
    )
    with torch.no_grad():
        h: Tensor = network.node_table
        for number, own in enumerate(stack_of(network).layers):
            conv = kind(h.shape[1], 5, heads=3, concat=False)
            conv.load_state_dict(of_kind(GraphAttention, own).conv.state_dict())
            new = conv(h, torch.stack([source, target]))
            new = new if number else leaky_relu(new, 0.2)
            if skip == "add":
                new = new + h
            h = torch.cat([new, h], dim=1) if skip == "cat" else new
        expected = h @ network.to_latent.weight.T
        torch.testing.assert_close(network.gene_embeddings(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", ["gat", "gat_v2"])
def test_another_order_of_nodes_permutes_their_embeddings(layer: str) -> None:
    network = build(layer=layer)
    order = np.random.default_rng(0).permutation(N_NODES)  # new node to old
    place = np.argsort(order)
    shared = DATASET.shared
    moved = replace(
        shared,
        node_names=shared.node_names[order],
        edge_source=place[shared.edge_source],
        edge_target=place[shared.edge_target],
    )
    other = build_model(replace(DATASET, shared=moved), config_of(layer=layer), 0)
    weights = network.state_dict()
    other.load_state_dict(weights | {"node_table": weights["node_table"][torch.from_numpy(order)]})
    with torch.no_grad():
        torch.testing.assert_close(
            other.gene_embeddings(), network.gene_embeddings()[torch.from_numpy(order)], rtol=1e-5, atol=1e-5
        )


def test_genes_shift_the_latent_state_by_their_sum_in_any_order() -> None:
    network = build().eval()
    one, other = forward(network, ["G02+G05+G13", "G00+G03"]), forward(network, ["G13+G02+G05", "G03+G00"])
    torch.testing.assert_close(one.delta, other.delta, rtol=1e-5, atol=1e-5)
    targets = build_targets(DATASET, ["G02+G05", "G02", "G05"], CPU)
    with torch.no_grad():
        both, first, second = targets.sum_rows(network.gene_embeddings())
    torch.testing.assert_close(both, first + second)


def test_without_a_basal_encoder_the_change_is_the_same_on_every_control() -> None:
    network = build(basal="none").eval()
    assert not any(name.startswith("basal") for name in network.state_dict())
    one, other = (forward(network, controls=CONTROLS * scale).delta for scale in (1, 3))
    assert torch.equal(one, other)
    with_basal = build().eval()
    assert not torch.equal(*(forward(with_basal, controls=CONTROLS * scale).delta for scale in (1, 3)))


def test_without_layers_a_gene_knows_of_no_other() -> None:
    network = build(n_layers=0)
    torch.testing.assert_close(network.gene_embeddings(), network.node_table @ network.to_latent.weight.T)


def test_rewired_edges_follow_the_seed_and_keep_every_genes_number_of_neighbours() -> None:
    def edges(seed: int, kind: str) -> Tensor:
        changes = {"graph.edges": kind, "graph.top_k": 2, "self_loops": False}
        network = build_model(DATASET, config_of(**changes), seed)
        return stack_of(network).graph.edge_index

    original, rewired, again, other = (
        edges(*given) for given in ((0, "original"), (0, "rewired"), (0, "rewired"), (1, "rewired"))
    )
    assert torch.equal(rewired, again)
    assert not torch.equal(original[0], rewired[0])
    assert not torch.equal(other[0], rewired[0])
    for end in (0, 1):
        counts = [torch.bincount(edges[end], minlength=N_NODES) for edges in (original, rewired)]
        assert torch.equal(*counts)


OUTSIDE = 13
"""Node of a gene that is not perturbed in `PARTLY`."""

PARTLY = replace(DATASET, shared=replace(DATASET.shared, is_perturbed=np.arange(N_NODES) != OUTSIDE))


def test_a_graph_of_perturbed_genes_is_that_of_a_data_set_without_the_others() -> None:
    changes = {"graph.nodes": "perturbed", "graph.top_k": 2}
    network = build(PARTLY, **changes).eval()
    assert len(network.node_table) == N_NODES - 1
    reduced = without_node(PARTLY, OUTSIDE)
    other = build(reduced, **(changes | {"graph.nodes": "all"})).eval()
    names = ["G00", "G05+G14", "G12"]
    np.testing.assert_array_equal(predict(network, PARTLY, names, CPU), predict(other, reduced, names, CPU))


def test_a_gene_outside_of_the_graph_is_refused() -> None:
    with pytest.raises(InputError, match=r"graph\.nodes 'perturbed' .* but 'G13' is not"):
        predict(build(PARTLY, **{"graph.nodes": "perturbed"}), PARTLY, ["G00+G13", "G05"], CPU)


def test_several_networks_are_refused() -> None:
    dataset = with_second_network(DATASET)
    names = "+".join(dataset.shared.network_names.tolist())
    with pytest.raises(InputError, match="one network"):
        build(dataset, **{"graph.networks": names})


def hidden_scale(network: TxPert, controls: Tensor) -> float:
    """Largest unit of the basal encoder's normalised hidden layer."""
    basal = present(network.basal)
    with torch.no_grad():
        return float(basal.norm(basal.first(controls)).abs().max())


def train_on(network: TxPert, controls: Tensor, n_steps: int = 100) -> Tensor:
    """Take steps on all genes and controls; the last gradient of the basal encoder's first map."""
    genes = [f"G{number:02d}" for number in range(12)]
    rows = torch.arange(len(genes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    first = present(network.basal).first.weight
    for _ in range(n_steps):
        optimizer.zero_grad()
        targets = build_targets(DATASET, genes, CPU)
        network.train()(targets, rows, controls, rows % len(controls)).delta.square().mean().backward()
        optimizer.step()
    network.eval()
    return present(first.grad)


AVERAGES = CONTROLS[:1] + CONTROLS / 1000


@pytest.mark.parametrize("control", ["mean", "batch_mean"])
def test_networks_of_averaged_controls_are_normalised_by_layer(
    control: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        network = build_model(DATASET, config_of(**{"data.control": control}), 0)
    assert "normalised by layer" in caplog.text
    assert isinstance(present(network.basal).norm, nn.LayerNorm)


@pytest.mark.parametrize("controls", [CONTROLS[:1], AVERAGES], ids=["one", "averages"])
def test_averaged_controls_train_the_basal_encoder_and_no_other_control_explodes(controls: Tensor) -> None:
    network = build_model(DATASET, config_of(**{"data.control": "mean"}), 0)
    assert train_on(network, controls).abs().max() > 0
    for other in (controls.mean(dim=0, keepdim=True), 2 * controls[:1]):
        assert hidden_scale(network, other) < 10


@pytest.mark.parametrize("controls", [CONTROLS[[0, 0]], AVERAGES], ids=["one", "averages"])
def test_batch_normalisation_would_make_averaged_controls_explode(controls: Tensor) -> None:
    """The reason for the layer norm: with it, what the test before asserts does not hold."""
    network = build_model(DATASET, config_of(), 0)
    assert isinstance(present(network.basal).norm, RowNorm)
    gradient = train_on(network, controls)
    assert hidden_scale(network, 2 * controls[:1]) > 50
    if len(controls) == 2:
        assert gradient.abs().max() < 1e-6


def test_several_controls_are_normalised_by_their_own_statistics_and_then_by_the_running_ones() -> None:
    network = build_model(DATASET, config_of(), 0)
    basal = present(network.basal)
    norm = of_kind(RowNorm, basal.norm)
    train_on(network, CONTROLS)
    with torch.no_grad():
        hidden = basal.first(CONTROLS)
        network.train()
        expected = nn.functional.batch_norm(hidden, None, None, norm.weight, norm.bias, training=True)
        torch.testing.assert_close(norm(hidden), expected)
        network.eval()
        torch.testing.assert_close(present(norm.running_mean), hidden.mean(dim=0), rtol=0.05, atol=0.02)
        assert not torch.allclose(norm(hidden[:1]), norm.bias)


def test_a_minibatch_of_one_row_is_normalised_by_the_running_statistics() -> None:
    network = build()
    targets, row = build_targets(DATASET, ["G00"], CPU), torch.zeros(1, dtype=torch.int64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        of_training, of_prediction = (
            network.train(mode)(targets, row, CONTROLS[:1], row).delta for mode in (True, False)
        )
    torch.testing.assert_close(of_training, of_prediction)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("control", ["mean", "cell"])
def test_weights_bring_all_that_training_read_of_splits_and_controls(control: str) -> None:
    config = config_of(**{"data.control": control})
    network = build_model(DATASET, config, 0)
    train_on(network, CONTROLS, n_steps=5)
    shared = replace(DATASET.shared, batches=np.array([]), batch_control_mean=np.zeros((0, N_GENES)))
    bare = replace(DATASET, shared=shared, control_cells=CellTable.empty())
    restored = restore_network(NETWORKS["txpert"], bare, config, 0, network.state_dict())
    np.testing.assert_array_equal(
        predict(restored, DATASET, MIXED, CPU), predict(network, DATASET, MIXED, CPU)
    )


def test_training_drops_units_by_the_generator_and_prediction_drops_none() -> None:
    network = build_model(DATASET, config_of(dropout=0.5), 0)
    targets, rows = build_targets(DATASET, MIXED, CPU), torch.arange(4)

    def delta(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return of_kind(Tensor, network(targets, rows, CONTROLS, CONTROL_ROW, generator).delta)

    assert torch.equal(delta(0), delta(0))
    assert not torch.equal(delta(0), delta(1))
    assert torch.equal(delta(None), delta(None))


SEVERAL = ("hybrid", "multilayer", "exphormer")


@pytest.mark.parametrize("layer", SEVERAL)
def test_every_network_that_is_picked_reaches_the_prediction(layer: str) -> None:
    dataset = with_second_network(DATASET)
    names = ["G00", "G07"]

    def predicted(networks: str) -> np.ndarray:
        network = build(dataset, layer=layer, size=6, **{"graph.networks": networks}).eval()
        return predict(network, dataset, names, CPU)

    both = predicted("network+go")
    assert both.shape == (2, N_GENES)
    assert not np.allclose(both, predicted("network"))
    assert not np.allclose(both, predicted("go"))


@pytest.mark.parametrize("layer", SEVERAL)
def test_a_network_of_several_is_restored_with_its_random_edges(layer: str) -> None:
    dataset = with_second_network(DATASET)
    config = config_of(layer=layer, size=6, **{"graph.networks": "network+go"})
    trained = build_model(dataset, config, 3)
    restored = restore_network(NETWORKS["txpert"], dataset, config, 3, trained.state_dict())
    names = ["G00+G03", "G14"]
    np.testing.assert_array_equal(
        predict(trained, dataset, names, CPU), predict(restored, dataset, names, CPU)
    )


@pytest.mark.parametrize("layer", ["gat", "gat_v2"])
def test_plain_attention_refuses_several_networks(layer: str) -> None:
    config = config_of(layer=layer, **{"graph.networks": "network+go"})
    with pytest.raises(InputError, match="network"):
        build_model(with_second_network(DATASET), config, 0)


@pytest.mark.parametrize("layer", SEVERAL)
def test_a_size_that_heads_do_not_divide_is_refused_or_needs_no_division(layer: str) -> None:
    config = config_of(layer=layer, size=5, skip="none")
    if layer == "multilayer":
        build_model(DATASET, config, 0)
        return
    with pytest.raises(InputError, match=r"heads"):
        build_model(DATASET, config, 0)
