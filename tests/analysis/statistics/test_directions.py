import math

import numpy as np
import pandas as pd

from adapert.evaluation.delta_metrics import delta_metrics
from analysis.statistics.directions import SMALLER_IS_BETTER, WITHOUT_DIRECTION, is_larger_better, range_of
from analysis.statistics.estimates import summarize_by


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


def test_a_number_of_predicted_degs_is_neither_good_nor_bad():
    assert is_larger_better("n_predicted_degs") is None


def test_intervals_stay_within_what_a_metric_can_be():
    assert range_of("pds") == range_of("overlap_at_100") == range_of("rank_overlap_at_50") == (0, 1)
    assert range_of("pearson_delta") == (-1, 1)
    assert range_of("mse") == (0, math.inf)
    assert range_of("of_ones_own") == (-math.inf, math.inf)
    rows = {"split_seed": 0, "seed": 0, "metric": "pds", "perturbation": ["A", "B"], "value": [0.2, 1.0]}
    summary = summarize_by(pd.DataFrame(rows).assign(group="all"), ["group"])
    assert (summary["low"][0], summary["high"][0]) == (0, 1)
