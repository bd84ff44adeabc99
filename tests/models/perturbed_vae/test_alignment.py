import math

import pytest
import torch

from adapert.models.perturbed_vae.alignment import specific_contrast

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)) + 0.5


def test_contrast_is_the_share_of_the_own_shift_among_all_of_the_minibatch() -> None:
    row = torch.tensor([0, 2, 1, 0, 2, 2])
    a = Y[:3]
    expected = 0.0
    for z, own in zip(X, row.tolist(), strict=True):
        cosines = [float(z @ each / (z.norm() * each.norm())) for each in a]
        weights = [math.exp(cosine / 0.2) for cosine in cosines]
        expected -= math.log(weights[own] / sum(weights)) / len(row)
    assert specific_contrast(X, a, row, torch.tensor(0.2)).item() == pytest.approx(expected, rel=1e-5)
