"""What each perturbation does to each gene: a perceptron on the grid of both, in bounded memory."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from adapert.models.gears.normed_layers import NormedLayers

VALUES_AT_ONCE = 2**23
"""Most values of b_n + u_p in memory at once; what a gradient needs of them is several times as many."""


class Moments(NamedTuple):
    """Of units over rows: mean and variance (divided by the number of rows), (size,) each."""

    mean: Tensor
    variance: Tensor


class Grid(nn.Module):
    """r_pn = w_n . NormedLayers(relu(BN(b_n + u_p))) + c_n, normalised over all p and n of a minibatch.

    A grid of more values than `VALUES_AT_ONCE` is cut by perturbations. In training each normalisation then
    takes a pass of its own over the parts, and the gradient computes them again: what holds of all rows at
    once holds of the parts, but for rounding, and takes longer.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)
        self.layers = NormedLayers((size, 2 * size, size), nn.BatchNorm1d)

    def forward(self, b: Tensor, u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Compute r, (n_perturbations, n_genes).

        Args:
            b: State of each gene, (n_genes, size).
            u: State of each perturbation, (n_perturbations, size).
            weight: w, (n_genes, size).
            bias: c, (n_genes,).
        """
        parts = torch.split(u, max(1, VALUES_AT_ONCE // b.numel()))
        if self.training and len(parts) > 1:
            return self._train_in_parts(b, parts, weight, bias)
        return torch.cat(
            [_read(self.layers(torch.relu(self.norm(_rows(b, part)))), weight, bias) for part in parts]
        )

    def _train_in_parts(self, b: Tensor, parts: Sequence[Tensor], weight: Tensor, bias: Tensor) -> Tensor:
        norms = (self.norm, self.layers.first_norm, self.layers.second_norm)
        known: list[Moments] = []
        shares = torch.tensor([len(part) for part in parts], device=b.device) / sum(map(len, parts))
        for norm in norms:
            found = [
                checkpoint(self._measure, b, part, known, use_reentrant=False, preserve_rng_state=False)
                for part in parts
            ]
            known = [*known, _pool(found, shares)]
            _keep_running(norm, known[-1], n_rows=len(b) * sum(map(len, parts)))
        return torch.cat(
            [
                checkpoint(
                    self._finish, b, part, known, weight, bias, use_reentrant=False, preserve_rng_state=False
                )
                for part in parts
            ]
        )

    def _until(self, b: Tensor, part: Tensor, known: Sequence[Moments]) -> Tensor:
        """Compute a part's rows up to the first normalisation whose moments are not known."""
        x = _rows(b, part)
        steps = ((self.norm, self.layers.first), (self.layers.first_norm, self.layers.second))
        for (norm, linear), moments in zip(steps, known, strict=False):
            x = linear(torch.relu(_normalise(x, norm, moments)))
        return x

    def _measure(self, b: Tensor, part: Tensor, known: Sequence[Moments]) -> Moments:
        variance, mean = torch.var_mean(self._until(b, part, known), dim=0, correction=0)
        return Moments(mean, variance)

    def _finish(
        self, b: Tensor, part: Tensor, known: Sequence[Moments], weight: Tensor, bias: Tensor
    ) -> Tensor:
        rows = _normalise(self._until(b, part, known), self.layers.second_norm, known[-1])
        return _read(rows, weight, bias)


def _rows(b: Tensor, u: Tensor) -> Tensor:
    """All sums b_n + u_p, those of a perturbation one after the other, (n_perturbations * n_genes, size)."""
    return (u.unsqueeze(1) + b).flatten(0, 1)


def _read(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (rows.view(-1, *weight.shape) * weight).sum(dim=-1) + bias


def _normalise(x: Tensor, norm: nn.Module, moments: Moments) -> Tensor:
    assert isinstance(norm, nn.BatchNorm1d)
    scale = norm.weight * torch.rsqrt(moments.variance + norm.eps)
    return torch.addcmul(norm.bias - moments.mean * scale, x, scale)


def _pool(parts: Sequence[Moments], shares: Tensor) -> Moments:
    """Moments of all rows from those of parts, which are these shares of them, (n_parts,)."""
    share = shares.unsqueeze(1)
    means, variances = (torch.stack(each) for each in zip(*parts, strict=True))
    mean = (share * means).sum(dim=0)
    return Moments(mean, (share * (variances + (means - mean).square())).sum(dim=0))


@torch.no_grad()
def _keep_running(norm: nn.Module, moments: Moments, n_rows: int) -> None:
    """Move running statistics as `torch.nn.BatchNorm1d` does in training."""
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(moments.mean.to(norm.running_mean.dtype), norm.momentum)
    unbiased = moments.variance * (n_rows / (n_rows - 1))
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    norm.num_batches_tracked += 1
