import numpy as np
import pytest
import torch
from fixtures.dataset import N_NODES, build_tiny_dataset
from torch_geometric.nn import SGConv

from adapert.models.gears.graph_convolution import GraphConvolutions, normalised_adjacency
from adapert.models.sparse_product import SparseProduct

SHARED, SIZE = build_tiny_dataset().shared, 4
# Directed, as the best edges into each gene are.
IS_KEPT = SHARED.edge_rank < 2
SOURCE, TARGET = SHARED.edge_source[IS_KEPT], SHARED.edge_target[IS_KEPT]
WEIGHT = np.random.default_rng(0).uniform(0.1, 1, len(SOURCE))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_layers_are_those_of_pytorch_geometric_with_the_same_weights(n_layers: int) -> None:
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(N_NODES, SIZE, generator=generator, requires_grad=True)
    own = GraphConvolutions(n_layers, SIZE)
    product = SparseProduct(normalised_adjacency(SOURCE, TARGET, WEIGHT, N_NODES))
    edge_index = torch.from_numpy(np.stack([SOURCE, TARGET])).long()
    expected: torch.Tensor = h
    for number, layer in enumerate(own.layers):
        conv = SGConv(SIZE, SIZE)
        conv.lin.load_state_dict(layer.state_dict())
        expected = conv(
            expected if number == 0 else expected.relu(), edge_index, torch.tensor(WEIGHT).float()
        )
    found = own(h, product)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), h)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.square().sum(), h)[0])


def test_without_layers_rows_stay_as_they_are() -> None:
    h = torch.rand(N_NODES, SIZE)
    assert GraphConvolutions(0, SIZE)(h, torch.zeros_like) is h
