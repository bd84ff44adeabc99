"""The choices of `adapert prepare`: what its input means, and how it is prepared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import PositiveInt

from adapert.data.differential import DegAdjust, DegTest
from adapert.data.effect_size import EffectSizeGroups
from adapert.data.labels.words import strip_blanks
from adapert.data.schema import SplitScheme
from adapert.errors import InputError

MOST_COUNTS = 1_000_000_000
"""Counts a cell can be scaled to; fewer than 1 would leave nothing of them in single precision."""

LIBRARY_SIZE = 4_000
"""Counts a cell is scaled to before log1p: TxPert's representation."""

MAX_UNITS = 40
"""Most characters: units are part of axis labels."""

DEFAULT_FRACTIONS: dict[SplitScheme, tuple[float, float, float]] = {
    "perturbations": (0.675, 0.075, 0.25),
    "combinations": (0.25, 0.25, 0.5),
}
"""Train, validation, test. Of all perturbations: gives the 733/82/272 of K562 (Table 4). Of combinations:
half are tested, as in the APP paper (62 of 124), and half of the others validate: a tenth is a handful."""


@dataclass(frozen=True, kw_only=True)
class PrepareChoices:
    """Every choice of a preparation; ``None`` for what is to be guessed.

    Attributes:
        kind: ``"cells"``, or ``"responses"`` for a table of perturbations by genes that holds deltas.
        where: Rows to keep, each ``column=value``; values of the same column add up.
        counts_layer: Layer of raw counts; ``None`` for a layer ``counts``, else ``X``. Cells only.
        perturbation_column: Column of `obs`; responses may have perturbations as the index instead.
        control: Label of unperturbed cells or a pattern of such (``NegCtrl*``), or several; ``None`` for
            any usual control word.
        missing_is_control: Whether cells without a label are controls. Cells only.
        group_guides: Whether guides of one gene (``A2M_1``, ``A2M_2``) are pooled. Cells only.
        target_sum: Counts that each cell is scaled to before log1p: a number, ``"median"`` for the median of
            controls and training cells, or ``"none"`` for no scaling. Counts of cells only.
        batch_column: Sequencing batch. Cells only.
        cell_line_column: Cell line. Cells only.
        gene_column: Column of `var` with gene symbols.
        significant_layer: Layer that marks DEGs; ``None`` for a layer ``significant``. Responses only.
        n_cells_column: Cells of each perturbation. Responses only.
        units: Units of the values, for labels and captions. Responses only; those of cells are log1p units.
        n_genes: Highly variable (cells) or most often responding (responses) genes to keep, and
            the perturbed ones.
        min_cells: Least number of cells of a perturbation.
        min_batch_controls: Least number of controls for a matching group to be compared with its own.
        deg_test: Mann-Whitney or Welch's t-test. Cells only.
        deg_adjust: Whether p-values are adjusted. Cells only.
        effect_size_groups: By fixed shares of the genes, or tertiles of the training perturbations.
        split_scheme: What is split: perturbations of any number of genes, or combinations only, while single
            genes train.
        split_fractions: Shares of train, validation and test, of what is split; ``None`` for the scheme's of
            `DEFAULT_FRACTIONS`, which then stand here.
        split_seed: Seed of the split.
    """

    kind: Literal["cells", "responses"] = "cells"
    where: tuple[str, ...] = ()
    counts_layer: str | None = None
    perturbation_column: str | None = None
    control: str | tuple[str, ...] | None = None
    missing_is_control: bool = False
    group_guides: bool = False
    target_sum: float | Literal["median", "none"] = LIBRARY_SIZE
    batch_column: str | None = None
    cell_line_column: str | None = None
    gene_column: str | None = None
    significant_layer: str | None = None
    n_cells_column: str | None = None
    units: str | None = None
    n_genes: PositiveInt = 5_000
    min_cells: PositiveInt = 10
    min_batch_controls: PositiveInt = 10
    deg_test: DegTest = "mann_whitney"
    deg_adjust: DegAdjust = "fdr"
    effect_size_groups: EffectSizeGroups = "fractions"
    split_scheme: SplitScheme = "perturbations"
    split_fractions: tuple[float, float, float] | None = None
    split_seed: int = 0

    def __post_init__(self) -> None:
        for option in ("n_genes", "min_cells", "min_batch_controls"):
            value = getattr(self, option)
            if value < 1:
                raise InputError(f"--{option.replace('_', '-')} must be at least 1, but it is {value}.")
        object.__setattr__(self, "split_fractions", self.drawn_fractions)
        check_fractions(self.drawn_fractions)
        self._check_units()
        self._check_target_sum()
        for option in ("group_guides", "missing_is_control"):
            if self.kind == "responses" and getattr(self, option):
                raise InputError(
                    f"--{option.replace('_', '-')} must be left out with --kind responses: such a table has "
                    "neither cells to put together nor controls. Change its rows instead."
                )

        # One form of each choice, so that it has one fingerprint.
        named = (self.control,) if isinstance(self.control, str) else self.control or ()
        controls = tuple(sorted({strip_blanks(label) for label in named}))
        object.__setattr__(self, "control", controls[0] if len(controls) == 1 else controls or None)

    def _check_units(self) -> None:
        if self.units is None:
            return
        if self.kind == "cells":
            raise InputError(
                f"--units names the units of responses, but cells are prepared to log1p units, not to "
                f"'{self.units}'. Leave it out, or add --kind responses."
            )
        # It becomes part of a figure's label, in which a dollar sign begins a formula.
        if not (
            0 < len(self.units.strip()) <= MAX_UNITS and self.units.isprintable() and "$" not in self.units
        ):
            raise InputError(
                f"--units must be 1 to {MAX_UNITS} printable characters without '$', but it is "
                f"{self.units!r}. Shorten it, such as 'log2 fold change'."
            )

    def _check_target_sum(self) -> None:
        is_number = not isinstance(self.target_sum, str)
        if is_number and not 1 <= float(self.target_sum) <= MOST_COUNTS:
            raise _no_target_sum(self.target_sum)
        if self.kind == "responses" and self.target_sum != LIBRARY_SIZE:
            raise InputError(
                "--target-sum must be left out with --kind responses: such a table has no counts to scale."
            )

    @property
    def controls(self) -> tuple[str, ...]:
        """Labels and patterns of `control`."""
        return (self.control,) if isinstance(self.control, str) else self.control or ()

    @property
    def drawn_fractions(self) -> tuple[float, float, float]:
        """Shares of train, validation and test."""
        return self.split_fractions or DEFAULT_FRACTIONS[self.split_scheme]

    def guessed(self, found: Mapping[str, str | None]) -> dict[str, str]:
        """Pick the columns and layers in use, by choice, that were found without having been chosen."""
        return {
            choice: name
            for choice, name in found.items()
            if name is not None and getattr(self, choice) is None
        }


def read_target_sum(text: str) -> float | Literal["median", "none"]:
    """Read what each cell's counts are scaled to: a number, ``"median"`` or ``"none"``.

    Raises:
        InputError: None of these.
    """
    if text == "median":
        return "median"
    if text == "none":
        return "none"
    try:
        return float(text)
    except ValueError as error:
        raise _no_target_sum(text) from error


def _no_target_sum(given: object) -> InputError:
    return InputError(
        f"--target-sum must be a number from 1 to {MOST_COUNTS:,}, 'median' or 'none', but it is '{given}'."
    )


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Refuse fractions that do not sum to 1.

    Raises:
        InputError: A fraction outside (0, 1), or a sum other than 1.
    """
    if not all(0 < fraction < 1 for fraction in fractions) or not math.isclose(
        sum(fractions), 1, abs_tol=1e-6
    ):
        shown = " ".join(f"{fraction:g}" for fraction in fractions)
        raise InputError(
            f"--split-fractions must be three positive numbers that sum to 1, but they are {shown}."
        )
