"""How good the best of some trials of a search is to be expected."""

import numpy as np

from adapert.statistics.two_level import FloatArray


def expected_best(values: FloatArray) -> FloatArray:
    """Expect the largest of n of the values, drawn without replacement, for each n.

    With v_(1) <= ... <= v_(N) in order, E_n = sum_i v_(i) [C(i, n) - C(i - 1, n)] / C(N, n), where C(i, n) /
    C(N, n) is the probability that all n are among the i smallest: the exact mean over all subsets.

    Args:
        values: One of each trial, (N,); NaN is no trial.

    Returns:
        E_1 to E_N, of the trials that have a value; the first is their mean and the last the largest.
    """
    ordered = np.sort(values[~np.isnan(values)]).astype(np.float64)
    n_values = len(ordered)
    place = np.arange(n_values + 1, dtype=np.float64)
    # Probability that the largest is among the i smallest, for i = 0, ..., N.
    among = np.ones(n_values + 1)
    expected = np.empty(n_values)
    for n in range(n_values):
        among = among * np.maximum(place - n, 0) / (n_values - n)
        expected[n] = np.diff(among) @ ordered
    return expected
