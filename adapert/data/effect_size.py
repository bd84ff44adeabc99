"""Effect-size groups of perturbations: small, medium, large by their number of DEGs."""

from typing import Literal, TypeAlias

import numpy as np

from adapert.data.schema import EFFECT_SIZES, FloatArray, IntArray, StringArray

EffectSizeGroups: TypeAlias = Literal["fractions", "tertiles"]

MEDIUM_FROM = 0.05
LARGE_ABOVE = 0.10


def effect_size_bounds(
    groups: EffectSizeGroups, n_genes: int, training_n_degs: IntArray | FloatArray
) -> tuple[float, float]:
    """Give the numbers of DEGs between which an effect is medium, both included.

    Args:
        groups: ``"fractions"`` (Table 5's header): 5 and 10 % of the genes; ``"tertiles"`` (Fig. 7's
            caption): tertiles of the training perturbations, the same for every split.
        n_genes: Number of measured genes.
        training_n_degs: Number of DEGs of each training perturbation, (n_training,).
    """
    if groups == "fractions":
        return MEDIUM_FROM * n_genes, LARGE_ABOVE * n_genes
    # The lower tertile itself is small, so medium starts just above it.
    lower, upper = np.quantile(training_n_degs, [1 / 3, 2 / 3])
    return float(np.nextafter(lower, np.inf)), float(upper)


def group_effect_sizes(n_degs: IntArray | FloatArray, bounds: tuple[float, float]) -> StringArray:
    """Name each perturbation's effect-size group.

    Args:
        n_degs: Number of DEGs, (n_perturbations,).
        bounds: From `effect_size_bounds`.

    Returns:
        One of `EFFECT_SIZES` each, (n_perturbations,).
    """
    medium_from, large_above = bounds
    rank = (n_degs >= medium_from).astype(int) + (n_degs > large_above)
    names: StringArray = np.array(EFFECT_SIZES)[rank]
    return names
