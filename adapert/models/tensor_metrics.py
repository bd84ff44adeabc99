"""The metrics of every epoch as functions of tensors, for trials whose predictions stay on a GPU.

`adapert.evaluation.metrics` defines them; these are the same in float64. Predictions may have first
dimensions in common, such as trials: (..., n_perturbations, n_genes). Nothing here waits for the device,
except `effective_rank`.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def pearson_delta(predicted_delta: Tensor, observed_delta: Tensor) -> Tensor:
    """See `adapert.evaluation.metrics.pearson_delta`, (..., n_perturbations)."""
    predicted, observed = (_centred(delta) for delta in (predicted_delta, observed_delta))
    norms = torch.linalg.vector_norm(predicted, dim=-1) * torch.linalg.vector_norm(observed, dim=-1)
    r = ((predicted * observed).sum(dim=-1) / norms).clamp(-1, 1)
    return torch.where(_is_constant(predicted_delta) | _is_constant(observed_delta), torch.nan, r)


def pds(predicted_delta: Tensor, observed_delta: Tensor) -> Tensor:
    """See `adapert.evaluation.metrics.pds`, without a mask of targets, (..., n_perturbations)."""
    distance = torch.cdist(predicted_delta.double(), observed_delta.double(), p=1)
    own = distance.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    n_nearer = (distance < own).sum(dim=-1)
    n_tied = (distance == own).sum(dim=-1) - 1
    return 1 - (n_nearer + n_tied.double() / 2) / distance.shape[-1]


def rank_overlap_at_k(
    predicted_delta: Tensor, observed_delta: Tensor, deg_mask: Tensor, k: int = 50
) -> Tensor:
    """See `adapert.evaluation.metrics.rank_overlap_at_k`, (..., n_perturbations)."""
    n_wanted = deg_mask.sum(dim=-1, keepdim=True).clamp(max=k)
    k = min(k, deg_mask.shape[-1])
    place = torch.arange(k, device=deg_mask.device)
    # No DEG is as weak as a gene that is none.
    strongest_degs = _strongest(torch.where(deg_mask, _size(observed_delta), -2.0), k)
    is_true = torch.zeros_like(deg_mask).scatter(-1, strongest_degs, place < n_wanted)
    chosen = _strongest(_size(predicted_delta), k)
    is_found = is_true.expand(predicted_delta.shape).gather(-1, chosen) & (place < n_wanted)
    return is_found.sum(dim=-1) / torch.where(n_wanted > 0, n_wanted.double(), torch.nan).squeeze(-1)


def mse(predicted_delta: Tensor, observed_delta: Tensor) -> Tensor:
    """See `adapert.evaluation.metrics.mse`, (..., n_perturbations)."""
    return (predicted_delta.double() - observed_delta.double()).square().mean(dim=-1)


def effective_rank(contexts: Tensor) -> Tensor:
    """See `adapert.evaluation.metrics.effective_rank`; (..., n_perturbations, size) to (...).

    It waits for the device once: torch looks whether the eigenvalues were found. NaN and infinite contexts
    have none, which must not be another trial's matter: their rank is NaN.
    """
    wide = contexts.double()
    is_finite = wide.isfinite().all(dim=-1).all(dim=-1)
    wide = torch.where(is_finite[..., None, None], wide, 0.0)
    # Singular values by way of a matrix of (size, size), which a GPU decomposes for all trials at once.
    squares = torch.linalg.eigvalsh(wide.mT @ wide)
    rounding = squares[..., -1:] * torch.finfo(squares.dtype).eps * squares.shape[-1]
    values = torch.where(squares > rounding, squares, 0).sqrt()
    total = values.sum(dim=-1, keepdim=True)
    shares = values / torch.where(total > 0, total, 1)
    return torch.where(is_finite, (-torch.xlogy(shares, shares).sum(dim=-1)).exp(), torch.nan)


EPOCH_METRICS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "pearson_delta": lambda predicted, observed, deg_mask: pearson_delta(predicted, observed),
    "pds": lambda predicted, observed, deg_mask: pds(predicted, observed),
    "rank_overlap_at_50": rank_overlap_at_k,
    "mse": lambda predicted, observed, deg_mask: mse(predicted, observed),
}
"""Name to function of `adapert.evaluation.catalogue.EPOCH_INPUTS`, for the metrics of every epoch."""


def epoch_means(predicted_delta: Tensor, observed_delta: Tensor, deg_mask: Tensor) -> dict[str, Tensor]:
    """Compute the metrics of an epoch, each averaged over the perturbations where it is defined, (...)."""
    return {
        name: metric(predicted_delta, observed_delta, deg_mask).nanmean(dim=-1)
        for name, metric in EPOCH_METRICS.items()
    }


def _centred(delta: Tensor) -> Tensor:
    wide = delta.double()
    return wide - wide.mean(dim=-1, keepdim=True)


def _is_constant(delta: Tensor) -> Tensor:
    return delta.amax(dim=-1) == delta.amin(dim=-1)


def _size(effect: Tensor) -> Tensor:
    """Absolute effect; NaN is the weakest."""
    return torch.where(effect.isnan(), -1.0, effect.abs())


def _strongest(size: Tensor, n_genes: int) -> Tensor:
    """Find the genes of largest size, ties going to the earlier gene, (..., n_genes)."""
    return size.sort(dim=-1, descending=True, stable=True).indices[..., :n_genes]
