"""From a frame to files: what a figure's recipe is, and the files that a figure becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from adapert.csv_files import write_csv
from adapert.files import whole_file
from adapert.results.load import load_per_perturbation
from adapert.results.study import StudyResults
from analysis.figures.style import paper_style

RESOLUTION = 300
"""Dots per inch of the PNG."""

_STEPS = 1024
"""Places of panels a dot. Words are measured in 64ths of one, so a place is hardly ever between two."""

# Without their dates the files of the same frame are the same, byte for byte. PNG's usual level of
# compression, 6, takes twice the time of 4 and saves 3 %.
_FORMATS: dict[str, Any] = {
    "png": {"pil_kwargs": {"compress_level": 4}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}


@dataclass(frozen=True)
class FigureRecipe:
    """How what a figure is made of becomes that figure.

    Attributes:
        stem: File name without suffix.
        summarize: What `load` gives, or a prepared data set or an evaluation, to a tidy frame, which is also
            the CSV.
        plot: Tidy frame to figure.
        load: A study to what `summarize` takes; where it has a column ``split``, the rows of one split are
            selected. Recipes of data sets and evaluations have no use for it.
    """

    stem: str
    summarize: Callable[[Any], pd.DataFrame]
    plot: Callable[[pd.DataFrame], Figure]
    load: Callable[[StudyResults], pd.DataFrame] = load_per_perturbation


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn, but not yet written."""

    stem: str
    summary: pd.DataFrame
    figure: Figure


def draw_figure(recipe: FigureRecipe, source: Any, stem: str | None = None) -> Drawing:
    """Draw a figure in memory.

    Raises:
        InputError: The source has nothing that the figure shows.
    """
    summary = recipe.summarize(source)
    return Drawing(stem or recipe.stem, summary, recipe.plot(summary))


def fix_layout(figure: Figure) -> None:
    """Find the places of a figure's panels once, for every file that it becomes.

    The solver's sums come in the order of its variables' addresses in memory: their last digits would
    change the ids that an SVG makes of its clip paths.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    with paper_style():
        figure.set_dpi(RESOLUTION)
        engine.execute(figure)
    figure.set_layout_engine(None)
    steps = figure.bbox.size * _STEPS
    for axes in figure.axes:
        points = axes.get_position(original=True).get_points()
        axes.set_position(Bbox(np.round(points * steps) / steps))


def write_drawing(drawing: Drawing, directory: Path) -> list[Path]:
    """Write a figure as PNG, SVG and PDF, and its tidy frame as CSV, each whole or not at all."""
    target = directory / drawing.stem
    figure = drawing.figure
    fix_layout(figure)
    paths = [target.with_name(f"{target.name}.{form}") for form in _FORMATS]
    for path in paths:
        write_picture(figure, path)
    table = target.with_name(f"{target.name}.csv")
    with whole_file(table) as beside:
        write_csv(drawing.summary, beside)
    return [*paths, table]


def write_figure(recipe: FigureRecipe, source: Any, directory: Path, stem: str | None = None) -> list[Path]:
    """Draw a figure and write its files.

    Args:
        recipe: Which figure.
        source: What its `summarize` takes: of a study's figure the frame of one study and one split.
        directory: Target; created if need be, and files of the same name are replaced.
        stem: File name without suffix; the recipe's if None.

    Raises:
        InputError: The source has nothing that the figure shows.
    """
    return write_drawing(draw_figure(recipe, source, stem), directory)


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure as the file's suffix says (``.png``, ``.svg`` or ``.pdf``), whole or not at all."""
    form = path.suffix.removeprefix(".")
    with whole_file(path) as beside, paper_style():
        figure.savefig(beside, format=form, dpi=RESOLUTION, **_FORMATS[form])
