import numpy as np
import torch
from torch.distributions import Bernoulli, kl_divergence

from adapert.models.perturbed_vae.latent import (
    MASKS,
    CausalGraph,
    bernoulli_divergence,
    bernoulli_mask,
    log_mask_prior,
)


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_causal_graph_is_the_finite_neumann_sum() -> None:
    size = 5
    graph = CausalGraph(size)
    u = draws(7, size)
    torch.testing.assert_close(graph(u), u)  # untrained it has no edge
    with torch.no_grad():
        graph.edges.copy_(draws(size, size, seed=1))
    b = np.triu(graph.edges.detach().numpy(), k=1)
    # B^size is 0: the sum ends.
    expected = sum(np.linalg.matrix_power(b, power) for power in range(size)) @ u.numpy().T
    np.testing.assert_allclose(graph(u).detach().numpy(), expected.T, rtol=1e-4, atol=1e-5)


def test_the_divergence_of_a_mask_is_that_of_torch_and_of_an_open_mask_0() -> None:
    logits = 3 * draws(5, 4)
    expected = kl_divergence(Bernoulli(logits=logits), Bernoulli(torch.tensor(0.1)))
    prior = log_mask_prior(0.1)
    torch.testing.assert_close(bernoulli_divergence(logits, prior), expected)
    assert not MASKS["none"].divergence(logits, prior).any()


def test_a_drawn_mask_is_0_or_1_as_often_as_it_should_and_has_the_gradient_of_its_mean() -> None:
    logits = torch.tensor([-1.0, 0.0, 2.0]).requires_grad_()
    drawn = bernoulli_mask(logits.expand(20_000, 3), torch.Generator().manual_seed(0))
    assert ((drawn.detach() - drawn.detach().round()).abs() < 1e-6).all()
    torch.testing.assert_close(drawn.mean(dim=0), torch.sigmoid(logits), atol=0.02, rtol=0)
    (gradient,) = torch.autograd.grad(drawn[0].sum(), logits)
    p = torch.sigmoid(logits)
    torch.testing.assert_close(gradient, p * (1 - p))
