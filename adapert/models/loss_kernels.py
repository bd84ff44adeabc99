"""The losses of rows (Eq. 15 to 17) on a CPU, and their gradient, fused: predictions are read once for each.

Of a prediction x, its target t, a non-DEG's mark m and c = x clamped to +-delta, Huber's penalty is
c (x - c / 2), and c its derivative. Predictions of several heads stand one below the other: row i has target
i modulo the number of targets.
"""

import numpy as np

from adapert.data.schema import FloatArray
from adapert.models.compiled import compiled

# Sums may be reordered. NaN and infinity count: they end a trial.
_reordered = compiled(fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")


@_reordered
def sum_errors(
    x: FloatArray, t: FloatArray, m: FloatArray, delta: float, squared: FloatArray, penalty: FloatArray
) -> None:
    """Fill each row's sum of (x - t)^2, and its sum of m c (x - c / 2).

    Args:
        x: Predictions, float32, (n_rows, n_genes).
        t: float32, (n_targets, n_genes).
        m: 1 or 0, float32, (n_targets, n_genes).
        delta: Of Eq. 17, in the units of `x`.
        squared: float32, (n_rows,).
        penalty: float32, (n_rows,).
    """
    n_rows, n_genes = x.shape
    high, half = np.float32(delta), np.float32(0.5)
    for i in range(n_rows):
        x_row, t_row, m_row = x[i], t[i % len(t)], m[i % len(t)]
        squared_sum, penalty_sum = np.float32(0), np.float32(0)
        for g in range(n_genes):
            value = x_row[g]
            error = value - t_row[g]
            squared_sum += error * error
            clamped = high if value > high else value
            clamped = -high if clamped < -high else clamped
            penalty_sum += m_row[g] * (clamped * (value - half * clamped))
        squared[i], penalty[i] = squared_sum, penalty_sum


@compiled(error_model="numpy")
def slope_errors(
    x: FloatArray,
    t: FloatArray,
    m: FloatArray,
    delta: float,
    to_squared: FloatArray,
    to_penalty: FloatArray,
    to_x: FloatArray,
) -> None:
    """Fill the gradient of `x` from those of each row's two sums, (n_rows,); the rest as in `sum_errors`."""
    n_rows, n_genes = x.shape
    high, two = np.float32(delta), np.float32(2)
    for i in range(n_rows):
        x_row, t_row, m_row, to_row = x[i], t[i % len(t)], m[i % len(t)], to_x[i]
        squared, penalty = to_squared[i], to_penalty[i]
        for g in range(n_genes):
            value = x_row[g]
            clamped = high if value > high else value
            clamped = -high if clamped < -high else clamped
            to_row[g] = squared * (two * (value - t_row[g])) + penalty * m_row[g] * clamped
