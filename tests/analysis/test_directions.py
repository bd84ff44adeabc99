import numpy as np

from adapert.evaluation.delta_metrics import delta_metrics
from analysis.directions import SMALLER_IS_BETTER, WITHOUT_DIRECTION, is_larger_better
from analysis.figures.style import METRICS


def test_a_perfect_prediction_is_better_in_the_stated_direction():
    generator = np.random.default_rng(0)
    observed = generator.normal(size=(6, 400))
    deg_mask = np.abs(observed) > 1
    other = (deg_mask, np.zeros_like(deg_mask), np.abs(observed))
    perfect = delta_metrics(observed, observed, *other)
    poor = delta_metrics(0.3 * observed + generator.normal(size=observed.shape), observed, *other)
    for name in perfect.keys() - WITHOUT_DIRECTION:
        gain = perfect[name].mean() - poor[name].mean()
        assert (gain if is_larger_better(name) else -gain) >= 0, name
    assert perfect.keys() >= SMALLER_IS_BETTER - {"l2_top_1000"}


def test_figures_draw_their_arrows_in_these_directions():
    for name, metric in METRICS.items():
        assert metric.is_larger_better == (is_larger_better(name) is not False), name


def test_a_number_of_predicted_degs_is_neither_good_nor_bad():
    assert is_larger_better("n_predicted_degs") is None
