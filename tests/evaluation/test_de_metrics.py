import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from adapert.evaluation.catalogue import compute_metrics
from adapert.evaluation.de_metrics import (
    DifferentialExpression,
    deg_recall,
    direction_match,
    log2_fold_change,
    overlap_at_k,
    spearman_lfc,
    spearman_n_degs,
)


def side(
    changes: np.ndarray | list[list[float]], degs: np.ndarray | list[list[int]]
) -> DifferentialExpression:
    return DifferentialExpression(
        log2_fold_change=np.array(changes, dtype=np.float32), deg_mask=np.array(degs, dtype=bool)
    )


def random_side(seed: int, n_perturbations: int = 5, n_genes: int = 40) -> DifferentialExpression:
    generator = np.random.default_rng(seed)
    changes = generator.normal(size=(n_perturbations, n_genes))
    return side(changes, generator.random(changes.shape) < 0.4)


def test_fold_change_is_of_expm1_of_means() -> None:
    mean, control = np.log1p([7.0, 1.0]), np.log1p([1.0, 4.0])
    np.testing.assert_allclose(log2_fold_change(mean, control), np.log2([7, 0.25]), rtol=1e-6)


def test_fold_change_is_infinite_for_one_sided_zeros_and_0_for_two() -> None:
    change = log2_fold_change(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    assert change.tolist() == [math.inf, -math.inf, 0.0]


def test_overlap_takes_the_strongest_degs_of_both_sides() -> None:
    observed = side([[5, -4, 3, 2, 9]], [[1, 1, 1, 1, 0]])
    predicted = side([[1, -8, 0, 7, 99]], [[1, 1, 1, 1, 0]])
    assert overlap_at_k(predicted, observed, 1).tolist() == [0.0]
    assert overlap_at_k(predicted, observed, 2).tolist() == [0.5]
    assert overlap_at_k(predicted, observed, 3).tolist() == [pytest.approx(2 / 3)]
    assert overlap_at_k(predicted, observed, 50).tolist() == [1.0]
    assert overlap_at_k(predicted, observed, None).tolist() == [1.0]


def test_overlap_counts_genes_that_are_degs_on_both_sides_only() -> None:
    observed = side([[5, 4, 3]], [[1, 1, 0]])
    assert overlap_at_k(side([[5, 4, 3]], [[0, 1, 1]]), observed, None).tolist() == [0.5]
    assert overlap_at_k(side([[5, 4, 3]], [[0, 0, 0]]), observed, None).tolist() == [0.0]


def test_overlap_ranks_an_infinite_fold_change_first() -> None:
    observed = side([[math.inf, 4, 3]], [[1, 1, 1]])
    assert overlap_at_k(side([[1, 8, 9]], [[1, 1, 1]]), observed, 1).tolist() == [0.0]
    assert overlap_at_k(side([[-math.inf, 8, 9]], [[1, 1, 1]]), observed, 1).tolist() == [1.0]


def test_recall_is_the_share_of_true_degs_found() -> None:
    observed = side(np.ones((1, 4)), [[1, 1, 1, 0]])
    assert deg_recall(side(np.ones((1, 4)), [[1, 0, 0, 1]]), observed).tolist() == [pytest.approx(1 / 3)]


def test_direction_of_no_change_is_no_match() -> None:
    observed = side([[2, -3, 1, -1]], [[1, 1, 1, 0]])
    assert direction_match(side([[1, 1, 0, 1]], [[0] * 4]), observed).tolist() == [pytest.approx(1 / 3)]


def test_spearman_lfc_equals_scipys_over_true_degs() -> None:
    predicted, observed = random_side(1), random_side(0)
    observed.log2_fold_change[0, :2] = math.inf
    rows = zip(predicted.log2_fold_change, observed.log2_fold_change, observed.deg_mask, strict=True)
    expected = [spearmanr(p[degs], o[degs]).statistic for p, o, degs in rows]
    np.testing.assert_allclose(spearman_lfc(predicted, observed), expected)


def test_spearman_lfc_of_one_deg_or_equal_predictions_is_undefined() -> None:
    observed = side([[1, 2, 3], [1, 2, 3]], [[1, 0, 0], [1, 1, 1]])
    predicted = side([[1, 2, 3], [5, 5, 5]], [[1, 1, 1], [1, 1, 1]])
    assert np.isnan(spearman_lfc(predicted, observed)).all()


def test_spearman_n_degs_leaves_perturbations_without_true_degs_out() -> None:
    observed = side(np.ones((4, 3)), [[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
    predicted = side(np.ones((4, 3)), [[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]])
    assert spearman_n_degs(predicted, observed) == pytest.approx(1)


def test_perturbations_without_true_degs_have_no_recall_but_an_overlap_of_0() -> None:
    predicted, nothing = random_side(0), side(np.ones((5, 40)), np.zeros((5, 40)))
    values, scalars = compute_metrics({"predicted_cells": predicted, "observed_cells": nothing})
    assert values.pop("overlap_at_50").tolist() == [0.0] * 5
    assert values.pop("overlap_at_100").tolist() == [0.0] * 5
    assert values.pop("overlap_at_N").tolist() == [0.0] * 5
    assert values.pop("n_predicted_degs").tolist() == predicted.n_degs.tolist()
    for name, undefined in values.items():
        assert np.isnan(undefined).all(), name
    assert scalars == {"spearman_n_degs": 1.0}
