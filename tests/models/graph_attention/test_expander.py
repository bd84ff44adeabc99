import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg

from adapert.errors import InputError
from adapert.models.graph_attention.expander import random_expander
from adapert.seeding import numpy_generator


def adjacency(n_nodes: int, n_cycles: int, seed: int = 0) -> scipy.sparse.csr_array:
    source, target = random_expander(n_nodes, n_cycles, numpy_generator(seed, "expander"))
    return scipy.sparse.csr_array((np.ones(len(source)), (target, source)), shape=(n_nodes, n_nodes))


@pytest.mark.parametrize(("n_nodes", "n_cycles"), [(3, 1), (4, 3), (50, 2), (585, 3)])
def test_every_node_has_two_edges_a_cycle_in_both_directions(n_nodes: int, n_cycles: int) -> None:
    matrix = adjacency(n_nodes, n_cycles)
    assert np.array_equal(matrix.sum(axis=1), np.full(n_nodes, 2 * n_cycles))
    assert (matrix - matrix.T).count_nonzero() == 0
    assert not matrix.diagonal().any()


@pytest.mark.parametrize("seed", range(5))
def test_a_cycle_connects_all_nodes(seed: int) -> None:
    assert scipy.sparse.csgraph.connected_components(adjacency(200, 1, seed))[0] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_cycles", [2, 3])
def test_the_spectral_gap_is_that_of_an_expander(n_cycles: int, seed: int) -> None:
    eigenvalues = scipy.sparse.linalg.eigsh(
        adjacency(1_087, n_cycles, seed), k=3, which="LM", v0=np.ones(1_087), return_eigenvectors=False
    )
    largest, second, _ = sorted(np.abs(eigenvalues), reverse=True)
    assert largest == pytest.approx(2 * n_cycles)
    assert second <= 2 * (2 * n_cycles - 1) ** 0.5 + 0.3


def test_the_generator_draws_the_edges() -> None:
    first, again, other = (random_expander(20, 2, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_cycles_are_no_edges() -> None:
    assert random_expander(20, 0, np.random.default_rng(0)).shape == (2, 0)


def test_too_few_nodes_are_refused() -> None:
    with pytest.raises(InputError, match="at least 3 nodes to form a cycle, but the graph has 2"):
        random_expander(2, 1, np.random.default_rng(0))
