import math

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, mean_squared_error

from adapert.evaluation.catalogue import cheap_metrics
from adapert.evaluation.metrics import (
    effective_rank,
    l2_top_expressed,
    mae,
    mean_over_perturbations,
    mse,
    pds,
    pearson_delta,
    rank_overlap_at_k,
    retrieval,
    rmse_top_degs,
    strongest,
)

N_PERTURBATIONS, N_GENES = 7, 20


def deltas(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_PERTURBATIONS, N_GENES))


def small_whole_deltas(seed: int) -> np.ndarray:
    # Whole numbers make distances exact and ties frequent.
    return np.random.default_rng(seed).integers(-1, 2, size=(N_PERTURBATIONS, 4)).astype(float)


def loop_pds(
    predicted: np.ndarray, observed: np.ndarray, left_out: np.ndarray | None = None, tie: float = 0.5
) -> list[float]:
    """Eq. 24 to 26; `tie` is what a tie adds to the rank: 0 in Eq. 25, a half for the mean rank."""
    n = len(predicted)
    scores = []
    for p in range(n):
        genes = [g for g in range(predicted.shape[1]) if left_out is None or not left_out[p, g]]
        d = [sum(abs(predicted[p, g] - observed[t, g]) for g in genes) for t in range(n)]
        rank = 1.0
        for t in range(n):
            if t != p:
                rank += 1.0 if d[t] < d[p] else tie if d[t] == d[p] else 0.0
        scores.append(1 - (rank - 1) / n)
    return scores


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pearson_delta_equals_scipys(dtype: type[np.floating]) -> None:
    predicted, observed = deltas(0).astype(dtype), deltas(1).astype(dtype)
    expected = [pearsonr(p, o).statistic for p, o in zip(predicted, observed, strict=True)]
    np.testing.assert_allclose(pearson_delta(predicted, observed), expected, rtol=1e-5, atol=1e-6)


def test_pearson_delta_of_a_perfect_prediction_is_1_whatever_its_scale_and_shift() -> None:
    np.testing.assert_allclose(pearson_delta(3 * deltas(0) + 2, deltas(0)), 1.0)
    np.testing.assert_allclose(pearson_delta(-deltas(0), deltas(0)), -1.0)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_pearson_delta_of_a_constant_is_undefined(value: float) -> None:
    constant = np.full((N_PERTURBATIONS, N_GENES), value, dtype=np.float32)
    assert np.isnan(pearson_delta(constant, deltas(0))).all()
    assert np.isnan(pearson_delta(deltas(0), constant)).all()


def test_only_the_constant_row_is_undefined() -> None:
    predicted = deltas(0)
    predicted[2] = 0.3
    assert np.flatnonzero(np.isnan(pearson_delta(predicted, deltas(1)))).tolist() == [2]


def test_order_of_genes_makes_no_difference() -> None:
    order = np.random.default_rng(2).permutation(N_GENES)
    predicted, observed, deg_mask = deltas(0), deltas(1), deltas(2) > 0
    one = cheap_metrics(predicted, observed, deg_mask)
    other = cheap_metrics(predicted[:, order], observed[:, order], deg_mask[:, order])
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values)


def test_order_of_perturbations_makes_no_difference() -> None:
    order = np.random.default_rng(2).permutation(N_PERTURBATIONS)
    predicted, observed, deg_mask = deltas(0), deltas(1), deltas(2) > 0
    one = cheap_metrics(predicted, observed, deg_mask)
    other = cheap_metrics(predicted[order], observed[order], deg_mask[order])
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values[order])


@pytest.mark.parametrize("seed", range(5))
def test_pds_without_ties_equals_a_plain_loop_over_equations_24_to_26(seed: int) -> None:
    predicted, observed = deltas(seed), deltas(seed + 100)
    np.testing.assert_allclose(pds(predicted, observed), loop_pds(predicted, observed, tie=0.0))


@pytest.mark.parametrize("seed", range(5))
def test_pds_shares_the_mean_rank_between_ties(seed: int) -> None:
    predicted, observed = small_whole_deltas(seed), small_whole_deltas(seed + 100)
    expected = loop_pds(predicted, observed)
    assert expected != loop_pds(predicted, observed, tie=0.0)  # there are ties
    np.testing.assert_allclose(pds(predicted, observed), expected)


@pytest.mark.parametrize("seed", range(5))
def test_pds_leaves_each_predictions_own_perturbed_genes_out(seed: int) -> None:
    predicted, observed = small_whole_deltas(seed), small_whole_deltas(seed + 100)
    left_out = np.random.default_rng(seed).random(predicted.shape) < 0.3
    expected = loop_pds(predicted, observed, left_out)
    assert expected != loop_pds(predicted, observed)
    np.testing.assert_allclose(pds(predicted, observed, left_out), expected)


def test_prediction_that_knows_only_its_target_gene_is_not_rewarded_without_it() -> None:
    observed = np.array([[-2.0, 1.0, 1.0], [0.0, 0.0, -1.0]])
    predicted = np.array([[-2.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    target = np.array([[True, False, False], [False, False, True]])
    assert pds(predicted, observed).tolist() == [1.0, 1.0]
    # Without gene 0, prediction 0 is (0, 0): 2 from its own (1, 1), 1 from the other's (0, -1).
    assert pds(predicted, observed, target).tolist() == [0.5, 1.0]


def test_perfect_prediction_has_pds_1_and_a_swapped_one_a_half() -> None:
    observed = deltas(0)
    assert pds(observed, observed).tolist() == [1.0] * N_PERTURBATIONS
    assert pds(observed[[1, 0]], observed[[0, 1]]).tolist() == [0.5, 0.5]


def test_pds_of_a_single_perturbation_is_1() -> None:
    assert pds(deltas(0)[:1], deltas(1)[:1]).tolist() == [1.0]


def test_pds_of_identical_perturbations_is_their_mean_rank() -> None:
    same = np.tile(deltas(0)[:1], (4, 1))
    assert pds(same, same).tolist() == [1 - 1.5 / 4] * 4


def test_perturbations_that_differ_in_the_left_out_gene_only_tie_exactly() -> None:
    generator = np.random.default_rng(0)
    observed = np.tile(generator.normal(size=(1, 500)), (6, 1)).astype(np.float32)
    targets = np.eye(6, 500, dtype=bool) | np.eye(6, 500, k=1, dtype=bool)
    left_out = np.flatnonzero(targets.any(axis=0))
    observed[:, left_out] = 100 * generator.normal(size=(6, len(left_out)))
    predicted = generator.normal(size=observed.shape).astype(np.float32)
    everywhere = np.tile(targets.any(axis=0), (6, 1))
    assert pds(predicted, observed, everywhere).tolist() == [1 - 2.5 / 6] * 6


def loop_retrieval(predicted: np.ndarray, observed: np.ndarray) -> list[float]:
    shares = []
    for p in range(len(predicted)):
        r = [np.corrcoef(predicted[p], o)[0, 1] for o in observed]
        shares.append(np.mean([r[p] >= r[q] for q in range(len(observed)) if q != p]))
    return shares


@pytest.mark.parametrize("seed", range(5))
def test_retrieval_equals_a_plain_loop(seed: int) -> None:
    predicted, observed = deltas(seed), deltas(seed + 100)
    np.testing.assert_allclose(retrieval(predicted, observed), loop_retrieval(predicted, observed))


def test_retrieval_of_a_perfect_prediction_is_1_and_of_its_opposite_0() -> None:
    assert retrieval(deltas(0), deltas(0)).tolist() == [1.0] * N_PERTURBATIONS
    assert retrieval(-deltas(0), deltas(0)).tolist() == [0.0] * N_PERTURBATIONS


def test_retrieval_leaves_perturbations_without_a_correlation_out() -> None:
    predicted, observed = deltas(0), deltas(0)
    observed[2] = 0.0
    predicted[3] = 0.0
    expected = [1.0] * N_PERTURBATIONS
    expected[2] = expected[3] = math.nan
    np.testing.assert_array_equal(retrieval(predicted, observed), expected)


def test_retrieval_of_a_single_perturbation_is_undefined() -> None:
    assert np.isnan(retrieval(deltas(0)[:1], deltas(0)[:1])).all()


def overlap(predicted: list[float], observed: list[float], is_deg: list[int], k: int | None) -> float:
    return rank_overlap_at_k(
        np.array([predicted]), np.array([observed]), np.array([is_deg], dtype=bool), k
    ).item()


def test_rank_overlap_of_hand_cases() -> None:
    observed = [3.0, -2.0, 1.0, 0.5, 0.1]
    is_deg = [1, 1, 1, 0, 0]
    assert overlap([5.0, -4.0, 3.0, 0.0, 0.0], observed, is_deg, 2) == 1.0
    assert overlap([0.0, 0.1, 3.0, -4.0, 5.0], observed, is_deg, 2) == 0.0
    assert overlap([0.0, -1.0, 3.0, -4.0, 0.0], observed, is_deg, 2) == 0.0
    assert overlap([0.0, -9.0, 3.0, -4.0, 0.0], observed, is_deg, 2) == 0.5
    assert overlap([0.0, -9.0, 3.0, -4.0, 0.0], observed, is_deg, 3) == pytest.approx(2 / 3)
    assert overlap([0.0, -9.0, 3.0, -4.0, 0.0], observed, is_deg, None) == pytest.approx(2 / 3)


def test_rank_overlap_keeps_no_more_genes_than_there_are_degs() -> None:
    observed, is_deg = [3.0, -2.0, 1.0, 0.5, 0.1], [0, 1, 0, 1, 0]
    predicted = [9.0, 8.0, 0.0, 7.0, 0.0]
    # Two DEGs: genes 1 and 3 against the two strongest predictions, 0 and 1.
    assert overlap(predicted, observed, is_deg, 50) == 0.5
    assert overlap(predicted, observed, is_deg, None) == 0.5


def test_rank_overlap_without_degs_is_undefined() -> None:
    assert math.isnan(overlap([1.0, 2.0], [1.0, 2.0], [0, 0], 50))


@pytest.mark.parametrize("n_genes", [0, 1, 5, 20, 29, 30, 99])
def test_the_strongest_are_the_first_of_a_stable_sort(n_genes: int) -> None:
    effect = np.random.default_rng(0).integers(-3, 4, size=30).astype(np.float32)  # ties
    effect[[2, 3, 11]] = np.nan
    expected = sorted(range(30), key=lambda gene: np.inf if np.isnan(effect[gene]) else -abs(effect[gene]))
    assert strongest(effect, n_genes).tolist() == expected[:n_genes]


def test_rank_overlap_of_a_perfect_prediction_is_1_if_degs_are_the_strongest() -> None:
    observed = deltas(0)
    deg_mask = np.abs(observed) > 1.0
    for k in (1, 3, 50, None):
        assert rank_overlap_at_k(observed, observed, deg_mask, k).tolist() == [1.0] * N_PERTURBATIONS


def test_mse_equals_sklearns() -> None:
    predicted, observed = deltas(0), deltas(1)
    expected = mean_squared_error(observed.T, predicted.T, multioutput="raw_values")
    np.testing.assert_allclose(mse(predicted, observed), expected)


def test_mae_equals_sklearns() -> None:
    predicted, observed = deltas(0), deltas(1)
    expected = mean_absolute_error(observed.T, predicted.T, multioutput="raw_values")
    np.testing.assert_allclose(mae(predicted, observed), expected)


def test_l2_counts_the_highest_expressed_genes_only() -> None:
    predicted, observed = np.array([[3.0, 9.0, 4.0, 9.0]]), np.zeros((1, 4))
    control_mean = np.array([2.0, 0.5, 1.0, 0.1])
    assert l2_top_expressed(predicted, observed, control_mean, n_top=2).tolist() == [5.0]
    assert l2_top_expressed(predicted, observed, control_mean) == pytest.approx(np.sqrt(187))


def test_rmse_counts_the_strongest_degs_only() -> None:
    observed = np.array([[3.0, -2.0, 9.0, 0.5], [1.0, 1.0, 1.0, 1.0]])
    predicted = observed + np.array([[1.0, 7.0, 100.0, 50.0], [0.0, 0.0, 0.0, 0.0]])
    deg_mask = np.array([[True, True, False, True], [False] * 4])
    one, none = rmse_top_degs(predicted, observed, deg_mask, k=2)
    assert one == pytest.approx(5.0)  # of 1 and 7
    assert math.isnan(none)


def test_l2_of_the_most_expressed_genes_equals_a_plain_loop() -> None:
    predicted, observed, control_mean = deltas(0), deltas(1), np.abs(deltas(2)[0])
    expected = []
    for row in range(N_PERTURBATIONS):
        total = 0.0
        for gene in sorted(range(N_GENES), key=lambda gene: -control_mean[gene])[:7]:
            total += (predicted[row, gene] - observed[row, gene]) ** 2
        expected.append(math.sqrt(total))
    np.testing.assert_allclose(l2_top_expressed(predicted, observed, control_mean, n_top=7), expected)


def test_rmse_of_the_strongest_degs_equals_a_plain_loop() -> None:
    predicted, observed, deg_mask = deltas(0), deltas(1), deltas(2) > 0.3
    expected = []
    for row in range(N_PERTURBATIONS):
        degs = [gene for gene in range(N_GENES) if deg_mask[row, gene]]
        strongest = sorted(degs, key=lambda gene: -abs(observed[row, gene]))[:5]
        squares = [(predicted[row, gene] - observed[row, gene]) ** 2 for gene in strongest]
        expected.append(math.sqrt(sum(squares) / len(squares)))
    np.testing.assert_allclose(rmse_top_degs(predicted, observed, deg_mask, k=5), expected)


def test_cheap_metrics_are_one_value_a_perturbation() -> None:
    metrics = cheap_metrics(deltas(0), deltas(1), deltas(2) > 0)
    assert {name: values.shape for name, values in metrics.items()} == dict.fromkeys(
        ("pearson_delta", "pds", "rank_overlap_at_50", "mse"), (N_PERTURBATIONS,)
    )


def test_mean_leaves_undefined_perturbations_out() -> None:
    assert mean_over_perturbations(np.array([1.0, np.nan, 3.0])) == 2.0
    assert math.isnan(mean_over_perturbations(np.array([np.nan, np.nan])))


def test_effective_rank_counts_directions() -> None:
    assert effective_rank(np.tile([[1.0, 2.0, -1.0]], (6, 1))) == pytest.approx(1)
    for n in (2, 5):
        assert effective_rank(3 * np.eye(n)) == pytest.approx(n)
    # Singular values 3 and 1: shares 3/4 and 1/4.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(np.diag([3.0, 1.0])) == pytest.approx(math.exp(entropy))


def test_effective_rank_is_the_same_at_any_scale_and_order() -> None:
    contexts = deltas(0)
    expected = effective_rank(contexts)
    assert effective_rank(1e-3 * contexts[::-1]) == pytest.approx(expected)


def test_contexts_of_nothing_use_no_more_than_one_direction() -> None:
    assert effective_rank(np.zeros((3, 4), dtype=np.float32)) == 1.0
