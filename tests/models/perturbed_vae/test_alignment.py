import math

import numpy as np
import pytest
import torch

from adapert.models.perturbed_vae.alignment import specific_contrast, squared_mmd

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)) + 0.5


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


def test_mmd_of_a_sample_with_itself_is_0_as_of_points_without_size() -> None:
    assert squared_mmd(X, X.flip(0)).item() == pytest.approx(0, abs=1e-6)
    assert squared_mmd(torch.zeros(4, 0), torch.zeros(4, 0)).item() == 0


def test_contrast_is_the_share_of_the_own_shift_among_all_of_the_minibatch() -> None:
    row = torch.tensor([0, 2, 1, 0, 2, 2])
    a = Y[:3]
    expected = 0.0
    for z, own in zip(X, row.tolist(), strict=True):
        cosines = [float(z @ each / (z.norm() * each.norm())) for each in a]
        weights = [math.exp(cosine / 0.2) for cosine in cosines]
        expected -= math.log(weights[own] / sum(weights)) / len(row)
    assert specific_contrast(X, a, row, 0.2).item() == pytest.approx(expected, rel=1e-5)
