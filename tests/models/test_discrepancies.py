import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch

from adapert.models.discrepancies import energy_distance, squared_mmd

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)) + 0.5
Discrepancy = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
BOTH = (squared_mmd, energy_distance)


def test_mmd_is_a_double_loop_over_pairs() -> None:
    x, y = X.double().numpy(), Y.double().numpy()
    joint = np.concatenate([x, y])
    between = sorted(((joint[i] - joint[j]) ** 2).sum() for i in range(11) for j in range(i))
    assert len(between) % 2 == 1  # the median is one of them
    bandwidth = between[len(between) // 2]

    def mean_kernel(one: np.ndarray, other: np.ndarray) -> float:
        values = [math.exp(-((a - b) ** 2).sum() / bandwidth) for a in one for b in other]
        return sum(values) / len(values)

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert squared_mmd(X, Y).item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0


def test_mmd_of_points_without_size_is_0() -> None:
    assert squared_mmd(torch.zeros(4, 0), torch.zeros(4, 0)).item() == 0


def test_energy_distance_is_the_square_of_that_of_scipy_in_one_dimension() -> None:
    expected = scipy.stats.energy_distance(X[:, 0].numpy(), Y[:, 0].numpy()) ** 2
    assert expected > 0.01
    assert energy_distance(X[:, :1], Y[:, :1]).item() == pytest.approx(expected, abs=1e-6)


def test_energy_distance_is_a_double_loop_over_pairs() -> None:
    def mean_distance(one: torch.Tensor, other: torch.Tensor) -> float:
        values = [math.dist(a, b) for a in one.tolist() for b in other.tolist()]
        return sum(values) / len(values)

    expected = 2 * mean_distance(X, Y) - mean_distance(X, X) - mean_distance(Y, Y)
    assert energy_distance(X, Y).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("discrepancy", BOTH)
def test_a_sample_and_itself_differ_by_0_with_a_finite_gradient(discrepancy: Discrepancy) -> None:
    x = X.clone().requires_grad_()
    found = discrepancy(x, X.flip(0))
    assert found.item() == pytest.approx(0, abs=1e-3)  # distances are roots of differences of squares
    (gradient,) = torch.autograd.grad(found, x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("discrepancy", BOTH)
def test_pairs_of_samples_are_compared_each_by_itself(discrepancy: Discrepancy) -> None:
    sets, others = X.reshape(2, 3, 3), X.flip(0).reshape(2, 3, 3) + 1
    each = [discrepancy(one, other) for one, other in zip(sets, others, strict=True)]
    torch.testing.assert_close(discrepancy(sets, others), torch.stack(each))
