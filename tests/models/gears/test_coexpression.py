from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, build_tiny_dataset, change_train

import adapert.models.gears.coexpression
from adapert.models.gears.coexpression import Coexpression, Partners, correlate_genes, find_partners

DATASET = build_tiny_dataset()
CELLS = DATASET.splits["train"].cells.expression(N_GENES)
ALL = np.arange(CELLS.shape[0])


def dense(partners: Partners) -> np.ndarray:
    """Weight of each partner of each gene, (n_genes, n_genes)."""
    weight = np.zeros((N_GENES, N_GENES))
    for gene, (sources, weights) in enumerate(zip(*partners, strict=True)):
        weight[gene, sources[weights > 0]] = weights[weights > 0]
    return weight


@pytest.mark.parametrize("n_values", [5 * N_GENES, 10**6])
def test_weights_are_numpys_absolute_correlations_from_a_threshold(
    monkeypatch: pytest.MonkeyPatch, n_values: int
) -> None:
    monkeypatch.setattr(adapert.models.gears.coexpression, "VALUES_AT_ONCE", n_values)
    expected = np.abs(np.corrcoef(CELLS.toarray(), rowvar=False))
    np.fill_diagonal(expected, 0)
    expected[expected < 0.2] = 0
    assert 0 < (expected > 0).sum() < N_GENES * (N_GENES - 1)
    np.testing.assert_allclose(dense(correlate_genes(CELLS, ALL, 0.2, 50)), expected, atol=1e-6)


def test_the_most_correlated_partners_are_kept() -> None:
    everyone, two = (correlate_genes(CELLS, ALL, 0.01, top_k) for top_k in (50, 2))
    assert two.source.shape == (N_GENES, 2)
    np.testing.assert_array_equal(two.source, everyone.source[:, :2])
    assert (np.diff(everyone.weight, axis=1) <= 0).all()


def test_a_constant_gene_has_no_partner() -> None:
    expression = CELLS.toarray()
    expression[:, 3] = 1.5
    weight = dense(correlate_genes(expression, ALL, 0.01, 50))
    assert not weight[3].any()
    assert not weight[:, 3].any()


def test_of_many_cells_the_seed_draws_some(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = find_partners(DATASET, 0.1, 3, seed=0)
    np.testing.assert_array_equal(whole.weight, find_partners(DATASET, 0.1, 3, seed=1).weight)
    monkeypatch.setattr(adapert.models.gears.coexpression, "MOST_CELLS", 20)
    first, again, other = (find_partners(DATASET, 0.1, 3, seed).weight for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, whole.weight)


def test_responses_are_correlated_over_training_perturbations() -> None:
    responses = replace(DATASET, manifest=replace(DATASET.manifest, kind="responses"))
    delta = DATASET.splits["train"].table.delta
    expected = correlate_genes(delta, np.arange(len(delta)), 0.5, 3)
    np.testing.assert_array_equal(find_partners(responses, 0.5, 3, 0).weight, expected.weight)
    other = find_partners(change_train(responses, delta=delta**3), 0.5, 3, 0)
    assert not np.array_equal(other.weight, expected.weight)


def test_loaded_partners_take_the_place_of_those_at_hand() -> None:
    trained = Coexpression(find_partners(DATASET, 0.1, 3, 0))
    bare = Coexpression(Partners.none(N_GENES, 3))
    h = torch.rand(N_GENES, 2)
    torch.testing.assert_close(bare(h), h)
    bare.load_state_dict(trained.state_dict())
    assert not torch.equal(trained(h), h)
    assert torch.equal(bare(h), trained(h))
