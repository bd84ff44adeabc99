"""Alignment: what does not change is distributed alike, and what changes tells perturbations apart."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two samples: mean k(x, x') + mean k(y, y') - 2 mean k(x, y).

    The kernel is exp(-|x - y|^2 / h); h is the median over pairs of the joint sample, a constant of the
    gradient. Pairs of a point with itself count (the V-statistic), so that the value is never below 0.

    Args:
        x: (n, size).
        y: (m, size).

    Returns:
        A scalar; 0 where points have no size.
    """
    joint = torch.cat([x, y]).float()
    squares = joint.square().sum(dim=1)
    distances = (squares.unsqueeze(1) + squares - 2 * joint @ joint.T).clamp(min=0)
    first, second = torch.triu_indices(len(joint), len(joint), offset=1, device=joint.device)
    bandwidth = distances.detach()[first, second].median()
    kernel = torch.exp(-distances / torch.where(bandwidth > 0, bandwidth, 1))
    sign = torch.cat([x.new_full((len(x),), 1 / len(x)), y.new_full((len(y),), -1 / len(y))]).float()
    return sign @ kernel @ sign


def specific_contrast(z: Tensor, a: Tensor, perturbation_row: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each row's latents with its own perturbation's shift against the minibatch's others.

    Args:
        z: Perturbation-specific latents z_S, (n_rows, size).
        a: Shift a_P of each distinct perturbation, (n_perturbations, size).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        temperature: Divides cosines.
    """
    logits = normalize(z, dim=1) @ normalize(a, dim=1).T / temperature
    return cross_entropy(logits, perturbation_row)
