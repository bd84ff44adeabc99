"""Perturbation-conditioned node selection and context (Eq. 9 to 13 of the AdaPert paper)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from adapert.models.noise import Noise, uniform
from adapert.models.scores import build_score


class NodeScorer(nn.Module):
    """Score every node for every perturbation (Eq. 9 and 10).

    a_v = w . act(W_c [h_v || s_p]) is computed as w . act(W_h h_v + W_s s_p) with W_c = [W_h | W_s]:
    the concatenation is never made.
    """

    def __init__(self, structural_size: int, score_size: int, activation: str) -> None:
        super().__init__()
        self.node = nn.Linear(structural_size, score_size, bias=False)
        self.text = nn.Linear(structural_size, score_size, bias=False)
        self.weight = nn.Linear(score_size, 1, bias=False)
        self.score = build_score(activation)

    def forward(self, h: Tensor, s: Tensor) -> Tensor:
        """Return the scores a, (n_perturbations, n_nodes).

        Args:
            h: Structural embeddings, (n_nodes, structural_size).
            s: Projected text embeddings of the perturbations, (n_perturbations, structural_size).
        """
        return self.score(self.node(h).float(), self.text(s).float(), self.weight.weight[0])


def gumbel_softmax(score: Tensor, tau: Tensor | float, generator: Noise | None) -> Tensor:
    """Relax the choice of nodes (Eq. 11 and 12); without a generator (prediction) there is no noise.

    softmax((log softmax(a) + g) / tau) = softmax((a + g) / tau): alpha of Eq. 11 needs no step of its own.

    Args:
        score: a of Eq. 10, (n_perturbations, n_nodes).
        tau: Temperature, ().
        generator: Draws g_v = -log(-log u) from Gumbel(0, 1).

    Returns:
        alpha tilde, rows sum to 1, (n_perturbations, n_nodes).
    """
    if generator is not None:
        u = uniform(score.shape, generator, score.device)
        # A u of 0 leaves its node out. exponential_() would take six times as long.
        score = score - u.log_().neg_().log_()
    return torch.softmax(score / tau, dim=1)


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


def above_threshold(alpha: Tensor, threshold: Tensor | float, is_perturbed: Tensor) -> Tensor:
    """Select nodes with alpha > threshold / V, and always the perturbed genes.

    Args:
        alpha: Alpha tilde of Eq. 12, (n_perturbations, n_nodes).
        threshold: T in units of the uniform probability 1/V, ().
        is_perturbed: 1 at perturbed genes, as `alpha`.

    Returns:
        1 for a selected node, else 0, as `alpha`.
    """
    return torch.maximum((alpha > threshold / alpha.shape[1]).to(alpha.dtype), is_perturbed)


def best_nodes(alpha: Tensor, n_nodes: int, is_perturbed: Tensor) -> Tensor:
    """Select the `n_nodes` of largest alpha, and always the perturbed genes; as `above_threshold`."""
    best = alpha.topk(min(n_nodes, alpha.shape[1]), dim=1).indices
    return torch.maximum(torch.zeros_like(alpha).scatter(1, best, 1.0), is_perturbed)
