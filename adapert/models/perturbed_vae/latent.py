"""Latent variables: Bernoulli masks, and the causal graph between latents."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from adapert.models.noise import Noise, uniform


def log_mask_prior(prior: float) -> Tensor:
    """Logarithms of the probabilities that a gene moves a latent, and that it does not, (2,)."""
    return torch.tensor([math.log(prior), math.log1p(-prior)])


def bernoulli_divergence(logits: Tensor, log_prior: Tensor) -> Tensor:
    """KL(Bern(sigma(l)) || Bern(prior)), as `logits`; of the prior `log_mask_prior`."""
    p = torch.sigmoid(logits)
    kept = p * (logsigmoid(logits) - log_prior[0])
    return kept + (1 - p) * (logsigmoid(-logits) - log_prior[1])


def bernoulli_mask(logits: Tensor, generator: Noise | None) -> Tensor:
    """Draw m ~ Bern(sigma(l)) with the gradient of sigma(l); without a generator, the mean sigma(l)."""
    p = torch.sigmoid(logits)
    if generator is None:
        return p
    drawn = (uniform(p.shape, generator, p.device) < p).to(p.dtype)
    return drawn + p - p.detach()


def open_mask(logits: Tensor, generator: Noise | None) -> Tensor:
    """M = 1: every gene moves every latent (ablation)."""
    return torch.ones_like(logits)


def no_divergence(logits: Tensor, log_prior: Tensor) -> Tensor:
    """0, as `logits`: a mask that is not drawn has no prior."""
    return torch.zeros_like(logits)


class Mask(NamedTuple):
    """A kind of mask.

    Attributes:
        draw: From logits and a generator, of which None is prediction.
        divergence: KL to a prior, from logits and its `log_mask_prior`.
    """

    draw: Callable[[Tensor, Noise | None], Tensor]
    divergence: Callable[[Tensor, Tensor], Tensor]


MASKS: dict[str, Mask] = {
    "bernoulli": Mask(bernoulli_mask, bernoulli_divergence),
    "none": Mask(open_mask, no_divergence),
}
"""What ``perturbed_vae.mask`` names."""


class CausalGraph(nn.Module):
    """z = (I - B)^-1 u, with B strictly upper triangular: a latent is moved by those after it."""

    def __init__(self, size: int) -> None:
        """Start without edges.

        Args:
            size: Number of latents.
        """
        super().__init__()
        self.edges = nn.Parameter(torch.zeros(size, size))

    def forward(self, u: Tensor) -> Tensor:
        """Map rows, (n_rows, size), in float32."""
        identity = torch.eye(len(self.edges), device=u.device)
        matrix = identity - torch.triu(self.edges, diagonal=1)
        # Rows are vectors: z (I - B)^T = u.
        transposed: Tensor = matrix.T
        z: Tensor = torch.linalg.solve_triangular(
            transposed, u.float(), upper=False, left=False, unitriangular=True
        )
        return z


LATENT_GRAPHS: dict[str, Callable[[int], nn.Module]] = {
    "causal": CausalGraph,
    "none": lambda size: nn.Identity(),
}
"""What ``perturbed_vae.latent_graph`` names, made of the number of latents."""
