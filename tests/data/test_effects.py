import numpy as np
import pytest
import scipy.sparse

from adapert.data.effects import GroupSums, MatchedControls, match_controls, measure_effect

LINES = np.array(["x", "x", "y"])


def sums_of(values: np.ndarray | list[list[int]], group: list[int], n_groups: int) -> GroupSums:
    sums = GroupSums.zeros(n_groups, np.shape(values)[1])
    sums.add(scipy.sparse.csr_array(np.array(values, dtype=np.float32)), np.array(group))
    return sums


def match(values: list[int], batch_index: list[int], min_batch_controls: int) -> MatchedControls:
    return match_controls(sums_of(np.array(values)[:, None], batch_index, 3), LINES, min_batch_controls)


def test_group_is_compared_with_its_own_controls(logged: pytest.LogCaptureFixture) -> None:
    matched = match([1, 3, 5, 7, 9, 11], [0, 0, 1, 1, 2, 2], 2)
    assert matched.batch_mean.tolist() == [[2], [6], [10]]
    assert matched.mean.tolist() == [6]
    assert not logged.messages


def test_group_with_few_controls_takes_its_cell_lines(logged: pytest.LogCaptureFixture) -> None:
    matched = match([1, 3, 5, 9, 11, 13], [0, 0, 1, 2, 2, 2], 2)
    assert matched.batch_mean.tolist() == [[2], [3], [11]]
    (warning,) = logged.messages
    assert warning.startswith("1 of 3 matching groups have fewer than 2 controls")


def test_cell_line_with_few_controls_takes_all() -> None:
    matched = match([1, 3, 5], [0, 0, 1], 2)
    assert matched.batch_mean[2].tolist() == [3]


def test_delta_averages_the_difference_from_matched_controls_over_cells() -> None:
    sums = sums_of([[1, 0], [3, 2], [8, 4]], [0, 0, 1], 2)
    control_mean = np.array([[1, 1], [0, 0], [6, 1]])
    effect = measure_effect(sums, np.array([0, 2]), control_mean, np.zeros(2, dtype=bool))
    np.testing.assert_allclose(effect.delta, [(0 + 2 + 2) / 3, (-1 + 1 + 3) / 3], rtol=1e-6)
    assert effect.group_batch_index.tolist() == [0, 2]
    assert effect.group_n_cells.tolist() == [2, 1]
    assert effect.group_mean.tolist() == [[2, 1], [8, 4]]


def test_sums_are_the_same_in_any_chunks() -> None:
    generator = np.random.default_rng(0)
    cells = scipy.sparse.csr_array(np.log1p(generator.poisson(1, (50, 6))).astype(np.float32))
    group = generator.integers(3, size=50)
    whole, parts = GroupSums.zeros(3, 6), GroupSums.zeros(3, 6)
    whole.add(cells, group)
    for rows in np.array_split(np.arange(50), 7):
        parts.add(cells[rows], group[rows])
    np.testing.assert_array_equal(parts.sums, whole.sums)
    assert parts.n_cells.tolist() == np.bincount(group).tolist()
    expected = [cells.toarray()[group == number].sum(axis=0, dtype=np.float64) for number in range(3)]
    np.testing.assert_allclose(whole.sums, expected, rtol=1e-12)
