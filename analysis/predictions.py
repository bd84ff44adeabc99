"""Predicted and observed deltas of one evaluation, as its folder keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from adapert.data.schema import BoolArray, FloatArray, IntArray, StringArray
from adapert.data.units import LOG1P_UNITS
from adapert.errors import InputError, name_some, nearest
from adapert.evaluation.metrics import pearson_delta
from adapert.evaluation.predictions import DEG_LAYER, PREDICTIONS_FILE
from adapert.evaluation.predictions import read_predictions as read_table
from adapert.statistics.pairs import FILE_MODEL, model_of

MODEL, COLLAPSED_MODEL = "adapert", "mean"
"""The model that is drawn by default, and the one it is compared with."""

LARGEST_FIRST = ("large", "medium", "small")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Deltas of one split, predicted by several variants.

    Attributes:
        name: Name of the evaluation's folder.
        perturbations: Names, (n_perturbations,).
        gene_names: Measured genes, (n_genes,).
        observed_delta: In `units`, (n_perturbations, n_genes).
        deg_mask: True DEGs, as `observed_delta`.
        effect_size: ``"small"``, ``"medium"`` or ``"large"``, (n_perturbations,).
        predicted_delta: Variant to its prediction, the mean over its seeds, as `observed_delta`.
        units: Units of the deltas.
    """

    name: str
    perturbations: StringArray
    gene_names: StringArray
    observed_delta: FloatArray
    deg_mask: BoolArray
    effect_size: StringArray
    predicted_delta: Mapping[str, FloatArray]
    units: str = LOG1P_UNITS

    @property
    def variants(self) -> list[str]:
        """Names of the variants; sorted, where they come from a file."""
        return list(self.predicted_delta)

    @property
    def n_degs(self) -> IntArray:
        """Number of DEGs of each perturbation, (n_perturbations,)."""
        counts: IntArray = self.deg_mask.sum(axis=1)
        return counts

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {str(name): row for row, name in enumerate(self.perturbations)}

    def row_of(self, perturbation: str) -> int:
        """Find a perturbation.

        Raises:
            InputError: It is none of these.
        """
        if perturbation not in self._rows:
            raise InputError(
                f"There is no perturbation '{perturbation}' among the {len(self._rows)} evaluated ones."
                f"{nearest(perturbation, self._rows)} They are {name_some(self._rows)}."
            )
        return self._rows[perturbation]

    def prediction_of(self, variant: str) -> FloatArray:
        """Take one variant's prediction, (n_perturbations, n_genes).

        Raises:
            InputError: It is no variant of this evaluation.
        """
        check_variant(variant, self.variants)
        return self.predicted_delta[variant]


def check_variant(variant: str, known: list[str]) -> None:
    """Refuse a variant that an evaluation does not have.

    Raises:
        InputError: It is unknown.
    """
    if variant not in known:
        raise InputError(
            f"There is no variant '{variant}' in this evaluation.{nearest(variant, known)} "
            f"It has {name_some(known)}."
        )


def read_predictions(path: Path) -> Predictions:
    """Read the predictions of an evaluation.

    Args:
        path: The folder that `adapert evaluate` wrote, or the file `PREDICTIONS_FILE` in it.

    Raises:
        InputError: No such file, one that is no AnnData, or one without DEGs, effect sizes or a variant.
    """
    folder = path.parent if path.name == PREDICTIONS_FILE else path
    table = read_table(folder)
    variants = [name for name in table.layers if name != DEG_LAYER]
    if DEG_LAYER not in table.layers or "effect_size" not in table.obs or not variants:
        raise InputError(
            f"Predictions must have the layer '{DEG_LAYER}', a layer a variant and the column 'effect_size', "
            f"but those in '{folder}' have the layers {name_some(table.layers) or 'none'} and the columns "
            f"{name_some(table.obs) or 'none'}. Run 'adapert evaluate' with this version."
        )
    for name, matrix in {"X": table.X, **table.layers}.items():
        numbers = _dense(matrix)
        if numbers.dtype.kind not in "biuf" or not np.isfinite(numbers).all():
            raise InputError(
                f"Predictions must be finite numbers, but '{name}' of those in '{folder}' is not. Run "
                "'adapert evaluate' again."
            )
    return Predictions(
        name=folder.absolute().name,
        perturbations=table.obs_names.to_numpy(str),
        gene_names=table.var_names.to_numpy(str),
        observed_delta=_dense(table.X),
        deg_mask=_dense(table.layers[DEG_LAYER]).astype(bool),
        effect_size=table.obs["effect_size"].to_numpy(str),
        predicted_delta={name: _dense(table.layers[name]) for name in variants},
        units=str(table.uns.get("units", LOG1P_UNITS)),
    )


def choose_variants(predictions: Predictions) -> tuple[str, str | None]:
    """Choose the model to draw and one to compare it with.

    They are `MODEL`, or the first variant, and the first file of predictions, `COLLAPSED_MODEL`, or the last.

    Returns:
        Two variants; None in place of the second where there is only one.
    """
    variants = predictions.variants
    model = MODEL if MODEL in variants else variants[0]
    others = [name for name in variants if name != model]
    if of_files := [name for name in others if model_of(name) == FILE_MODEL]:
        return model, of_files[0]
    if COLLAPSED_MODEL in others:
        return model, COLLAPSED_MODEL
    return model, others[-1] if others else None


def choose_perturbation(predictions: Predictions, variant: str) -> str:
    """Choose the perturbation to show: neither the best nor the worst predicted one.

    Of the perturbations with the largest effects (large ones, else medium, else small) that have a DEG and a
    Pearson-delta, the one whose Pearson-delta under `variant` is the median, of two the lower.

    Raises:
        InputError: No perturbation has a DEG and a Pearson-delta.
    """
    r = pearson_delta(predictions.prediction_of(variant), predictions.observed_delta)
    is_shown = ~np.isnan(r) & (predictions.n_degs > 0)
    for effect_size in LARGEST_FIRST:
        rows = np.flatnonzero(is_shown & (predictions.effect_size == effect_size))
        if len(rows):
            ordered = rows[np.argsort(r[rows], kind="stable")]
            return str(predictions.perturbations[ordered[(len(ordered) - 1) // 2]])
    raise InputError(
        f"A perturbation is shown by its DEGs and its Pearson-delta under '{variant}', but none of the "
        f"{len(r)} evaluated ones has both. Name one to show, or another variant."
    )


def _dense(matrix: object) -> FloatArray:
    # A file that another tool has written may keep a layer sparse.
    dense: FloatArray = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
    return dense
