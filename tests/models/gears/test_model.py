from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset, with_second_network
from torch import Tensor, nn

from adapert.config import Config
from adapert.errors import InputError
from adapert.models.gears.coexpression import find_partners
from adapert.models.gears.model import Gears, build_gears
from adapert.models.gears.normed_layers import NormedLayers
from adapert.models.network import restore_network
from adapert.models.networks import NETWORKS
from adapert.models.targets import build_targets
from adapert.training.prediction import predict

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
SMALL = {
    "model.name": "gears",
    "gears.size": 4,
    "gears.coexpression_threshold": 0.2,
    "graph.edge_weight": "confidence",
}
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]


def config_of(**changes: Any) -> Config:
    return Config().with_changes(SMALL | {f"gears.{name}": value for name, value in changes.items()})


def build(**changes: Any) -> Gears:
    """A network none of whose weights and statistics is as at the start."""
    network = build_gears(DATASET, config_of(**changes), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and not name.startswith("coexpression"):
                drawn = torch.randn(tensor.shape, generator=generator) / 2
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return network.eval()


def norm(module: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(module, nn.BatchNorm1d)
    assert module.running_mean is not None
    assert module.running_var is not None
    return (x - module.running_mean) / (module.running_var + 1e-5).sqrt() * module.weight + module.bias


def perceptron(layers: NormedLayers, x: Tensor) -> Tensor:
    hidden = norm(layers.first_norm, layers.first.weight @ x + layers.first.bias).relu()
    return norm(layers.second_norm, layers.second.weight @ hidden + layers.second.bias)


def convolve(layer: nn.Module, rows: list[Tensor], weight: np.ndarray) -> list[Tensor]:
    """One graph convolution, node by node: `weight` of the edge into a row from a column."""
    assert isinstance(layer, nn.Linear)
    weight = weight + np.eye(len(weight))
    degree = weight.sum(axis=1)
    mixed = [
        sum(float(weight[i, j] / (degree[i] * degree[j]) ** 0.5) * rows[j] for j in range(len(rows)))
        for i in range(len(rows))
    ]
    return [layer.weight @ row + layer.bias for row in mixed]


def shorten(table: Tensor) -> list[Tensor]:
    return [row / max(float(row.norm()), 1.0) for row in table]


@pytest.mark.parametrize("cross_gene", [True, False])
@torch.no_grad()
def test_a_prediction_equals_a_plain_loop_over_the_equations(cross_gene: bool) -> None:
    network = build(cross_gene=cross_gene)
    shared = DATASET.shared
    partners = np.zeros((N_GENES, N_GENES))
    for gene, (sources, weights) in enumerate(zip(*find_partners(DATASET, 0.2, 20, 0), strict=True)):
        partners[gene, sources[weights > 0]] = weights[weights > 0]
    links = np.zeros((N_NODES, N_NODES))
    links[shared.edge_target, shared.edge_source] = shared.edge_score / shared.edge_score.max()
    genes, positions = shorten(network.genes.weight), shorten(network.positions.weight)
    table = convolve(network.network_layers.layers[0], shorten(network.perturbations.weight), links)
    heard = convolve(network.position_layers.layers[0], positions, partners)
    b = [
        perceptron(network.base, norm(network.gene_norm, own).relu() + 0.2 * other)
        for own, other in zip(genes, heard, strict=True)
    ]
    predicted = predict(network, DATASET, MIXED, CPU)
    for row, perturbation in enumerate(MIXED):
        nodes = DATASET.perturbed_nodes(perturbation)
        u = perceptron(network.fuse, torch.stack([table[node] for node in nodes]).sum(dim=0))
        grid = network.grid
        r = torch.stack(
            [
                network.gene_weight[n] @ perceptron(grid.layers, norm(grid.norm, b[n] + u).relu())
                + network.gene_bias[n]
                for n in range(N_GENES)
            ]
        )
        expected = network.own_weight * r + network.delta_bias
        if network.cross is not None and network.cross_weight is not None:
            expected = expected + network.cross_weight @ perceptron(network.cross, r)
        np.testing.assert_allclose(predicted[row], expected.numpy(), rtol=1e-4, atol=1e-4)


def test_the_change_knows_nothing_of_the_control() -> None:
    network, row = build(), torch.zeros(1, dtype=torch.int64)
    targets = build_targets(DATASET, ["G00"], CPU)
    with torch.no_grad():
        one, other = (network(targets, row, torch.full((1, N_GENES), x), row).delta for x in (0.0, 3.0))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("changes", "is_read"),
    [({}, True), ({"n_network_layers": 0}, False), ({"n_coexpression_layers": 0}, True)],
)
def test_without_layers_over_the_network_no_other_gene_is_heard(
    changes: dict[str, Any], is_read: bool
) -> None:
    network = build(**changes)
    before = predict(network, DATASET, ["G00"], CPU)
    with torch.no_grad():
        network.perturbations.weight[1:] *= -1
    assert np.array_equal(predict(network, DATASET, ["G00"], CPU), before) != is_read


def test_without_layers_over_partners_none_are_looked_for() -> None:
    network = build(n_coexpression_layers=0)
    assert not network.coexpression.weight.any()
    assert build().coexpression.weight.any()


def test_weights_bring_the_partners_that_training_found() -> None:
    network = build()
    restored = restore_network(NETWORKS["gears"], DATASET, config_of(), 0, network.state_dict())
    np.testing.assert_array_equal(
        predict(restored, DATASET, MIXED, CPU), predict(network, DATASET, MIXED, CPU)
    )


def test_scores_beyond_1_are_shares_of_the_largest_and_others_count_as_they_are() -> None:
    def matrix(scale: float) -> Tensor:
        score = DATASET.shared.edge_score / DATASET.shared.edge_score.max() * scale
        scaled = replace(DATASET, shared=replace(DATASET.shared, edge_score=score))
        return build_gears(scaled, config_of(), 0).network.matrix.to_dense()

    torch.testing.assert_close(matrix(1000), matrix(1))
    assert not torch.allclose(matrix(0.5), matrix(1))


def test_several_networks_are_refused() -> None:
    config = config_of().with_changes({"graph.networks": "network+go"})
    with pytest.raises(InputError, match="one network"):
        build_gears(with_second_network(DATASET), config, 0)
