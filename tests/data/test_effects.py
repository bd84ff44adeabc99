import numpy as np
import scipy.sparse

from adapert.data.effects import match_controls, measure_effect

LINES = np.array(["x", "x", "y"])


def controls(values):
    return scipy.sparse.csr_array(np.array(values, dtype=np.float32)[:, None])


def test_group_is_compared_with_its_own_controls():
    matched = match_controls(controls([1, 3, 5, 7, 9, 11]), np.array([0, 0, 1, 1, 2, 2]), LINES, 2)
    assert matched.batch_mean.tolist() == [[2], [6], [10]]
    assert matched.mean.tolist() == [6]
    assert matched.n_matched_outside == 0


def test_group_with_few_controls_takes_its_cell_lines():
    matched = match_controls(controls([1, 3, 5, 9, 11, 13]), np.array([0, 0, 1, 2, 2, 2]), LINES, 2)
    assert matched.batch_mean.tolist() == [[2], [3], [11]]
    assert matched.n_matched_outside == 1


def test_cell_line_with_few_controls_takes_all():
    matched = match_controls(controls([1, 3, 5]), np.array([0, 0, 1]), LINES, 2)
    assert matched.batch_mean[2].tolist() == [3]


def test_delta_averages_the_difference_from_matched_controls_over_cells():
    cells = scipy.sparse.csr_array(np.array([[1, 0], [3, 2], [8, 4]], dtype=np.float32))
    control_mean = np.array([[1, 1], [0, 0], [6, 1]])
    effect = measure_effect(cells, np.array([0, 0, 2]), control_mean, np.zeros(2, dtype=bool))
    np.testing.assert_allclose(effect.delta, [(0 + 2 + 2) / 3, (-1 + 1 + 3) / 3], rtol=1e-6)
    assert effect.group_batch_index.tolist() == [0, 2]
    assert effect.group_n_cells.tolist() == [2, 1]
    assert effect.group_mean.tolist() == [[2, 1], [8, 4]]
