import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from adapert.models.posterior import Posterior


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_divergence_of_a_posterior_is_that_of_torch() -> None:
    posterior = Posterior(draws(6, 4), draws(6, 4, seed=1))
    normal = Normal(posterior.mean, torch.exp(posterior.log_variance / 2))
    expected = kl_divergence(normal, Normal(torch.zeros(4), torch.ones(4))).sum(dim=1)
    torch.testing.assert_close(posterior.divergence(), expected)


def test_draws_of_a_posterior_have_its_moments_and_prediction_draws_nothing() -> None:
    posterior = Posterior(torch.full((20_000, 1), 2.0), torch.full((20_000, 1), -1.0))
    drawn = posterior.sample(torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(2, abs=0.02)
    assert drawn.var().item() == pytest.approx(np.exp(-1), rel=0.05)
    assert torch.equal(posterior.sample(None), posterior.mean)
