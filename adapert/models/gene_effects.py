"""What genes do to latents in models that look genes up: those that training perturbs, and all others."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray
from adapert.models.encoders import text_order
from adapert.models.targets import Targets

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of the ridge regression on text, whose rows are of length 1."""

Completion = Callable[[FloatArray], FloatArray]
"""From effects of the trained genes, (n_trained, size), to those of all nodes, (n_nodes, size)."""


class MeanOfTrained:
    """A gene that training does not perturb does what those that it does perturb do on average."""

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int, trained: IntArray) -> None:
        """Remember which nodes are trained, (n_trained,); nothing else of a gene is known."""
        self.n_nodes, self.trained = dataset.n_nodes, trained

    def __call__(self, effects: FloatArray) -> FloatArray:
        """Complete effects."""
        completed: FloatArray = np.tile(effects.mean(axis=0), (self.n_nodes, 1))
        completed[self.trained] = effects
        return completed


class TextMap:
    """A gene that training does not perturb does what ridge regression on its text says.

    e_g = mean + t_g W, fitted to the trained genes, with the one of `PENALTIES` that has the least
    leave-one-out error. A gene without text has the mean.
    """

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int, trained: IntArray) -> None:
        """Decompose the trained genes' text, once for all fits.

        Args:
            dataset: Has the text.
            config: Picks its sources, side by side, and may shuffle genes.
            seed: Shuffles.
            trained: Nodes that training perturbs, (n_trained,).
        """
        text = _text(dataset, config, seed)
        self.trained = trained
        self.left, self.lengths, right = np.linalg.svd(text[trained], full_matrices=False)
        self.coordinates = text @ right.T

    def __call__(self, effects: FloatArray) -> FloatArray:
        """Complete effects."""
        mean = effects.mean(axis=0)
        centred = effects - mean
        weights = self.lengths / (self.lengths**2 + self._choose_penalty(centred))
        completed: FloatArray = mean + self.coordinates @ (weights[:, None] * (self.left.T @ centred))
        completed[self.trained] = effects
        return completed

    def _choose_penalty(self, centred: FloatArray) -> float:
        rotated = self.left.T @ centred

        def left_out_error(penalty: float) -> float:
            kept = self.lengths**2 / (self.lengths**2 + penalty)
            leverage = np.square(self.left) @ kept
            error = (centred - self.left @ (kept[:, None] * rotated)) / (1 - leverage[:, None])
            return float(np.square(error).mean())

        return min(PENALTIES, key=left_out_error)


UNSEEN: dict[str, Callable[[PreparedDataset, Config, int, IntArray], Completion]] = {
    "mean": MeanOfTrained,
    "text": TextMap,
}
"""What ``unseen`` names in the sections of models that look genes up."""


class GeneEffects(nn.Module):
    """Effects of all genes, which are set after each epoch and travel with the weights.

    A combination's effect is the sum of its genes'.
    """

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int, unseen: str, size: int) -> None:
        """Start from effects of 0; without splits, trained weights bring them.

        Args:
            dataset: Its training perturbations are those whose genes are trained.
            config: Picks text.
            seed: The trial's.
            unseen: One of `UNSEEN`.
            size: Number of latents.
        """
        super().__init__()
        self.effects: Tensor
        self.register_buffer("effects", torch.zeros(dataset.n_nodes, size))
        if dataset.splits:
            self.members = trained_members(dataset)
            self.trained: IntArray = np.unique(np.concatenate(self.members))
            self.complete = UNSEEN[unseen](dataset, config, seed, self.trained)

    def set_trained(self, effects: FloatArray) -> None:
        """Take the effects of the trained genes, (n_trained, size), and complete them."""
        self.effects.copy_(torch.from_numpy(self.complete(effects)))

    def forward(self, targets: Targets) -> Tensor:
        """Add up the effects of perturbations' genes, (n_perturbations, size)."""
        return targets.sum_rows(self.effects)


def trained_members(dataset: PreparedDataset) -> list[list[int]]:
    """List the nodes of each training perturbation."""
    return [dataset.perturbed_nodes(str(name)) for name in dataset.splits["train"].table.perturbations]


def effects_of_genes(shifts: FloatArray, members: Sequence[Sequence[int]]) -> FloatArray:
    """Attribute what perturbations do to their genes, so that effects add up.

    A gene that is perturbed alone does what that perturbation does. What a combination does beyond such genes
    is shared equally by its others; of several combinations, such a gene has the mean.

    Args:
        shifts: (n_perturbations, size).
        members: Nodes of each perturbation.

    Returns:
        Of each node in `members`, in ascending order, (n_trained, size).
    """
    alone = {nodes[0]: shift for nodes, shift in zip(members, shifts, strict=True) if len(nodes) == 1}
    shares: dict[int, list[FloatArray]] = {node: [effect] for node, effect in alone.items()}
    for nodes, shift in zip(members, shifts, strict=True):
        others = [node for node in nodes if node not in alone]
        rest = shift - np.sum([alone[node] for node in nodes if node in alone], axis=0)
        for node in others:
            shares.setdefault(node, []).append(rest / len(others))
    effects: FloatArray = np.stack([np.mean(shares[node], axis=0) for node in sorted(shares)])
    return effects


def _text(dataset: PreparedDataset, config: Config, seed: int) -> FloatArray:
    """The picked sources of text side by side, (n_nodes, size); no column where none is picked."""
    order = text_order(dataset, config, seed)
    sources = dataset.shared.picked_vectors(config.data.embeddings)
    parts = [np.asarray(source.embedding, dtype=np.float64)[order] for source in sources]
    return np.concatenate([np.zeros((dataset.n_nodes, 0)), *parts], axis=1)
