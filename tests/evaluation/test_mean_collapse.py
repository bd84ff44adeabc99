import numpy as np
import pytest
from sklearn.metrics import mean_squared_error, r2_score

from adapert.evaluation.mean_collapse import (
    centroid_pearson,
    collapse_ratio,
    deg_weights,
    weighted_mse,
    weighted_r2,
)

N_PERTURBATIONS, N_GENES = 6, 15


def deltas(seed: int) -> np.ndarray:
    # A common response, three times as large as what is specific.
    generator = np.random.default_rng(seed)
    common = 3 * np.random.default_rng(99).normal(size=N_GENES)
    return common + generator.normal(size=(N_PERTURBATIONS, N_GENES))


def weights(seed: int = 5) -> np.ndarray:
    return deg_weights(np.random.default_rng(seed).normal(size=(N_PERTURBATIONS, N_GENES)))


def mean_prediction(observed: np.ndarray) -> np.ndarray:
    return np.tile(observed.mean(axis=0), (len(observed), 1))


def test_perfect_prediction_scores_1() -> None:
    observed = deltas(0)
    np.testing.assert_allclose(centroid_pearson(observed, observed), 1)
    np.testing.assert_allclose(weighted_r2(observed, observed, weights()), 1.0)
    np.testing.assert_allclose(collapse_ratio(observed, observed, observed > 0), 1)
    assert not weighted_mse(observed, observed, weights()).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_prediction_of_the_mean_scores_0(dtype: type[np.floating]) -> None:
    observed = deltas(0).astype(dtype)
    predicted = mean_prediction(observed)
    assert centroid_pearson(predicted, observed).tolist() == [0.0] * N_PERTURBATIONS
    np.testing.assert_allclose(weighted_r2(predicted, observed, weights()), 0.0, atol=1e-6)


def test_centroid_pearson_is_a_correlation_of_deviations() -> None:
    predicted, observed = deltas(1), deltas(0)
    centroid = observed.mean(axis=0)
    pairs = zip(predicted, observed, strict=True)
    expected = [np.corrcoef(p - centroid, o - centroid)[0, 1] for p, o in pairs]
    np.testing.assert_allclose(centroid_pearson(predicted, observed), expected)


def test_single_perturbation_has_no_centroid_but_itself() -> None:
    one = deltas(0)[:1]
    assert np.isnan(centroid_pearson(one + 1, one)).all()
    assert np.isnan(weighted_r2(one + 1, one, weights()[:1])).all()


def test_weights_are_squares_of_scaled_scores() -> None:
    # |score| 1, 3, 5 scale to 0, 1/2, 1; squares 0, 1/4, 1 have the sum 5/4.
    np.testing.assert_allclose(deg_weights(np.array([[-1.0, 3.0, -5.0]])), [[0.0, 0.2, 0.8]])


def test_equal_scores_weigh_equally() -> None:
    np.testing.assert_allclose(deg_weights(np.zeros((2, 4))), 0.25)


def test_weighted_mse_equals_sklearns() -> None:
    predicted, observed, w = deltas(1), deltas(0), weights()
    rows = zip(predicted, observed, w, strict=True)
    expected = [mean_squared_error(o, p, sample_weight=weight) for p, o, weight in rows]
    np.testing.assert_allclose(weighted_mse(predicted, observed, w), expected)


def test_weighted_r2_equals_sklearns_where_the_weighted_mean_deviation_is_0() -> None:
    predicted, observed, w = deltas(1), deltas(0), weights()
    observed -= observed.mean(axis=0)
    # A last perturbation in a pair of opposites keeps the centroid at 0.
    observed[:] = np.concatenate([observed[:3], -observed[:3]])
    observed[0] -= (w[0] * observed[0]).sum()
    observed[3] = -observed[0]
    expected = r2_score(observed[0], predicted[0], sample_weight=w[0])
    assert weighted_r2(predicted, observed, w)[0] == pytest.approx(expected)


def test_collapse_ratio_is_the_share_of_the_amplitude_on_degs() -> None:
    observed = np.array([[1.0, -1.0, 50.0], [1.0, 2.0, 3.0], [1.0, 1.0, 7.0]])
    predicted = np.array([[0.25, -0.25, -9.0], [1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])
    deg_mask = np.array([[True, True, False], [True, False, False], [True, True, False]])
    # One DEG has no spread; equal observed deltas have none either.
    np.testing.assert_allclose(collapse_ratio(predicted, observed, deg_mask), [0.25, np.nan, np.nan])
