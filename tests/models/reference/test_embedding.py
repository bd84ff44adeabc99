from dataclasses import replace

import numpy as np
import pytest

from adapert.models.reference.embedding import PerturbationEmbedding, spectral_embedding


def test_spectral_embedding_puts_isolated_genes_at_zero_and_others_on_the_unit_sphere(dataset):
    lengths = np.linalg.norm(spectral_embedding(dataset.shared), axis=1)
    assert lengths[14] == 0
    np.testing.assert_allclose(lengths[:14], 1)


def test_sparse_and_dense_eigenvectors_span_the_same_similarities(dataset):
    few = spectral_embedding(dataset.shared, size=5)  # by ARPACK
    every = np.linalg.svd(few @ few.T, compute_uv=False)
    assert few.shape == (15, 5)
    assert (every[5:] < 1e-9).all()
    adjacency = np.zeros((15, 15))
    adjacency[dataset.shared.edge_target, dataset.shared.edge_source] = 1
    degree = np.maximum(adjacency.sum(axis=1), 1)
    values, vectors = np.linalg.eigh(adjacency / np.sqrt(np.outer(degree, degree)))
    dense = vectors[:, -5:] * np.sqrt(np.maximum(values[-5:], 0))
    dense[:14] /= np.linalg.norm(dense[:14], axis=1, keepdims=True)
    dense[14] = 0
    np.testing.assert_allclose(few @ few.T, dense @ dense.T, atol=1e-8)


def test_a_network_without_edges_embeds_every_gene_at_zero(dataset):
    nothing = {name: getattr(dataset.shared, name)[:0] for name in ("edge_source", "edge_target")}
    shared = replace(dataset.shared, **nothing, edge_rank=dataset.shared.edge_rank[:0])
    assert not spectral_embedding(shared).any()


@pytest.mark.parametrize(("features", "size"), [("text", 6), ("network", 15), ("both", 21)])
def test_a_combination_is_the_sum_of_its_genes(dataset, features, size):
    embed = PerturbationEmbedding(dataset, features)
    first, second, both = embed(["G00", "G05", "G00+G05"])
    assert both.shape == (size,)
    np.testing.assert_allclose(both, first + second)
