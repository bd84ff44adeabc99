"""Which design has which figure, and the files that a figure becomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from adapert.errors import InputError, name_some
from adapert.files import whole_file
from adapert.tracking.read import read_design
from analysis.figures.ablation import plot_ablation, summarize_ablation
from analysis.figures.sensitivity import plot_sensitivity, summarize_sensitivity
from analysis.figures.style import paper_style
from analysis.load import load_per_perturbation

RESOLUTION = 300
"""Dots per inch of the PNG."""

# Without their dates the files of the same frame are the same, byte for byte.
_METADATA = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class FigureRecipe:
    """How the long table of a study becomes a figure.

    Attributes:
        stem: Of the files' names.
        summarize: Long table to tidy frame, which is also the CSV.
        plot: Tidy frame to figure.
    """

    stem: str
    summarize: Callable[[pd.DataFrame], pd.DataFrame]
    plot: Callable[[pd.DataFrame], Figure]


FIGURES = {
    "ablation": FigureRecipe("figure_4_ablation", summarize_ablation, plot_ablation),
    "sensitivity": FigureRecipe("figure_5_sensitivity", summarize_sensitivity, plot_sensitivity),
}
"""Design of a study to its figure; a further figure is a line here."""


def draw_figures(
    tracking_uri: str, studies: Sequence[str], directory: Path, split: str = "validation"
) -> dict[str, list[Path]]:
    """Draw the figure of each study that has one, from what MLflow holds.

    Everything is read and checked before the first file is written. Where two studies share a design, the
    files' names end in the study's.

    Args:
        tracking_uri: MLflow's.
        studies: Their names; those whose design has no figure are passed over beside others that have.
        directory: Of the files; created if need be, files of the same name are replaced.
        split: Which perturbations.

    Returns:
        Study to its files, the PNG first, in the order of `studies`.

    Raises:
        InputError: No such store or study, no finished trial, no run of that split, or no study with a
            figure.
    """
    designs = {study: read_design(tracking_uri, study) for study in studies}
    drawn = {study: design for study, design in designs.items() if design in FIGURES}
    if not drawn:
        raise InputError(
            f"Figures are drawn of studies whose design is {' or '.join(FIGURES)}, but given were "
            f"{name_some(f'{study} ({design})' for study, design in designs.items()) or 'none'}. "
            "Launch an ablation or a sensitivity study."
        )
    frames = {
        study: _select_split(load_per_perturbation(tracking_uri, study), study, split) for study in drawn
    }
    paths: dict[str, list[Path]] = {}
    for study, design in drawn.items():
        is_shared = list(drawn.values()).count(design) > 1
        stem = f"{FIGURES[design].stem}_{study}" if is_shared else None
        paths[study] = write_figure(FIGURES[design], frames[study], directory, stem)
    return paths


def write_figure(
    recipe: FigureRecipe, frame: pd.DataFrame, directory: Path, stem: str | None = None
) -> list[Path]:
    """Write a figure as PNG, SVG and PDF, and its tidy frame as CSV, each whole or not at all.

    Args:
        recipe: Which figure.
        frame: The long table of one study and one split.
        directory: Of the files.
        stem: Of the files' names; the recipe's if None.

    Returns:
        The four paths.

    Raises:
        InputError: The frame has nothing that the figure shows.
    """
    summary = recipe.summarize(frame)
    figure = recipe.plot(summary)
    target = directory / (stem or recipe.stem)
    paths = [_save(figure, target.with_name(f"{target.name}.{form}"), form) for form in _METADATA]
    table = target.with_name(f"{target.name}.csv")
    with whole_file(table) as beside:
        summary.to_csv(beside, index=False)
    return [*paths, table]


def _save(figure: Figure, path: Path, form: str) -> Path:
    with whole_file(path) as beside, paper_style():
        figure.savefig(beside, format=form, dpi=RESOLUTION, metadata=_METADATA[form])
    return path


def _select_split(frame: pd.DataFrame, study: str, split: str) -> pd.DataFrame:
    selected = frame[frame["split"] == split]
    if selected.empty:
        known = name_some(sorted(set(frame["split"].astype(str))))
        raise InputError(f"No run of study '{study}' has the split '{split}'; they have {known}.")
    return selected
