"""Alignment: what does not change is distributed alike, and what changes tells perturbations apart."""

from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def specific_contrast(z: Tensor, a: Tensor, perturbation_row: Tensor, temperature: Tensor) -> Tensor:
    """InfoNCE of each row's latents with its own perturbation's shift against the minibatch's others.

    Args:
        z: Perturbation-specific latents z_S, (n_rows, size).
        a: Shift a_P of each distinct perturbation, (n_perturbations, size).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        temperature: Divides cosines, ().
    """
    logits = normalize(z, dim=1) @ normalize(a, dim=1).T / temperature
    return cross_entropy(logits, perturbation_row)
