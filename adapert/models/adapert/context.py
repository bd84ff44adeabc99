"""Perturbation-conditioned node selection and context (Eq. 9 to 13 of the AdaPert paper)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from adapert.models.adapert.message_passing import ACTIVATIONS


class NodeScorer(nn.Module):
    """Score every node for every perturbation (Eq. 9 to 11).

    a_v = w . act(W_c [h_v || s_p]) is computed as w . act(W_h h_v + W_s s_p) with W_c = [W_h | W_s]:
    the concatenation is never made.
    """

    def __init__(self, structural_size: int, score_size: int, activation: str) -> None:
        super().__init__()
        self.node = nn.Linear(structural_size, score_size, bias=False)
        self.text = nn.Linear(structural_size, score_size, bias=False)
        self.weight = nn.Linear(score_size, 1, bias=False)
        self.activation = ACTIVATIONS[activation]

    def forward(self, h: Tensor, s: Tensor) -> Tensor:
        """Return log alpha (Eq. 11), (n_perturbations, n_nodes).

        Args:
            h: Structural embeddings, (n_nodes, structural_size).
            s: Projected text embeddings of the perturbations, (n_perturbations, structural_size).
        """
        hidden = self.activation(self.node(h) + self.text(s).unsqueeze(1))  # (P, V, score_size)
        return torch.log_softmax(self.weight(hidden).squeeze(-1), dim=1)


def gumbel_softmax(log_alpha: Tensor, tau: float, generator: torch.Generator | None) -> Tensor:
    """Relax the choice of nodes (Eq. 12); without a generator (prediction) there is no noise.

    Args:
        log_alpha: Log relevance, (n_perturbations, n_nodes).
        tau: Temperature.
        generator: Draws g_v from Gumbel(0, 1).

    Returns:
        alpha tilde, rows sum to 1, (n_perturbations, n_nodes).
    """
    if generator is not None:
        exponential = torch.empty_like(log_alpha).exponential_(generator=generator)  # never 0
        log_alpha = log_alpha - exponential.log()
    return torch.softmax(log_alpha / tau, dim=1)


def straight_through(alpha: Tensor, is_selected: Tensor) -> Tensor:
    """1 for a selected node, with the gradient of alpha."""
    return is_selected + (alpha - alpha.detach())


def literal(alpha: Tensor, is_selected: Tensor) -> Tensor:
    """1 for a selected node; the scorer gets no gradient (Eq. 13 to the letter)."""
    return is_selected


def soft(alpha: Tensor, is_selected: Tensor) -> Tensor:
    """Alpha itself: every node counts by its relevance."""
    return alpha


WEIGHTINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "straight_through": straight_through,
    "literal": literal,
    "soft": soft,
    "top_k": straight_through,
}


def above_threshold(alpha: Tensor, threshold: float, is_perturbed: Tensor) -> Tensor:
    """Select nodes with alpha > threshold / V, and always the perturbed genes.

    Args:
        alpha: Alpha tilde of Eq. 12, (n_perturbations, n_nodes).
        threshold: T in units of the uniform probability 1/V.
        is_perturbed: 1 at perturbed genes, as `alpha`.

    Returns:
        1 for a selected node, else 0, as `alpha`.
    """
    return torch.maximum((alpha > threshold / alpha.shape[1]).to(alpha.dtype), is_perturbed)


def best_nodes(alpha: Tensor, n_nodes: int, is_perturbed: Tensor) -> Tensor:
    """Select the `n_nodes` of largest alpha, and always the perturbed genes; as `above_threshold`."""
    best = alpha.topk(min(n_nodes, alpha.shape[1]), dim=1).indices
    return torch.maximum(torch.zeros_like(alpha).scatter(1, best, 1.0), is_perturbed)
