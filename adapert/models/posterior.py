"""The Gaussian posterior of an autoencoder's latents."""

from typing import NamedTuple

import torch
from torch import Tensor

from adapert.models.noise import Noise, normal


class Posterior(NamedTuple):
    """Independent Gaussians, one for each latent of each profile.

    Attributes:
        mean: (n_profiles, size).
        log_variance: As `mean`.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: Noise | None) -> Tensor:
        """Draw mean + sd * noise; without a generator, take the mean."""
        if generator is None:
            return self.mean
        return self.at(normal(self.mean.shape, generator, self.mean.device))

    def at(self, noise: Tensor) -> Tensor:
        """Compute mean + sd * noise, (n_profiles, size)."""
        return self.mean + torch.exp(self.log_variance / 2) * noise

    def divergence(self) -> Tensor:
        """KL to standard Gaussians, (n_profiles,)."""
        terms = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return terms.sum(dim=1) / 2
