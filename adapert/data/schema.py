"""The words that data files, prepared data sets and tables share, each named once."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]
StringArray: TypeAlias = NDArray[np.str_]

SplitName: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

SplitScheme: TypeAlias = Literal["perturbations", "combinations"]
"""What a split is drawn over: all perturbations alike, or combinations alone, while single genes train."""

EFFECT_SIZES = ("small", "medium", "large")

FamilySource: TypeAlias = Literal["network", "responses", "gene sets"]
"""What families of perturbations are found by."""

CONTROL = "control"
"""The label that stands for unperturbed cells once labels are read."""

GENE_SEPARATOR = "+"
"""Joins the genes of a combination: ``"KLF1+MAP2K6"``."""


def is_combination(perturbation: str) -> bool:
    """Whether a perturbation targets several genes."""
    return GENE_SEPARATOR in perturbation


def genes_of(perturbation: str) -> tuple[str, ...]:
    """Split a perturbation into the genes it targets."""
    return tuple(perturbation.split(GENE_SEPARATOR))
