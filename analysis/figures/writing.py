"""From a frame to files: what a figure's recipe is, and the files that a figure becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.transforms import Bbox

from adapert.csv_files import write_csv
from adapert.files import whole_file, write_whole
from adapert.results.load import load_per_perturbation
from adapert.results.study import StudyResults
from analysis.figures.page import SCREEN, Style, StyledFigure
from analysis.figures.words import latex_caption, plain_words

RESOLUTION = 300
"""Dots per inch of the PNG."""

_STEPS = 1024
"""Panel positions are rounded to this part of a dot; text is measured in 64ths of one, so ties are rare."""

# Without their dates the files of the same frame are the same, byte for byte. PNG's usual level of
# compression, 6, takes twice the time of 4 and saves 3 %.
_FORMATS: dict[str, Any] = {
    "png": {"pil_kwargs": {"compress_level": 4}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}


class Plot(Protocol):
    """Draws a tidy frame in a style."""

    def __call__(self, summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure: ...  # noqa: D102


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
    plot: Plot
    load: Callable[[StudyResults], pd.DataFrame] = load_per_perturbation


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn, but not yet written."""

    stem: str
    summary: pd.DataFrame
    figure: StyledFigure


def draw_figure(recipe: FigureRecipe, source: Any, stem: str | None = None, style: Style = SCREEN) -> Drawing:
    """Draw a figure in memory.

    Raises:
        InputError: The source has nothing that the figure shows.
    """
    summary = recipe.summarize(source)
    return Drawing(stem or recipe.stem, summary, recipe.plot(summary, style))


def fix_layout(figure: StyledFigure) -> None:
    """Lay a figure out once, before it is saved in several formats.

    The layout solver adds its terms in the order of their memory addresses, so that the last digits of
    positions differ between processes. SVG files hash positions into ids: they are rounded first.
    """
    engine = figure.get_layout_engine()
    if engine is None:
        return
    with figure.style.applied():
        figure.set_dpi(RESOLUTION)
        engine.execute(figure)
    figure.set_layout_engine(None)
    steps = figure.bbox.size * _STEPS
    for axes in figure.axes:
        points = axes.get_position(original=True).get_points()
        axes.set_position(Bbox(np.round(points * steps) / steps))


def write_drawing(drawing: Drawing, directory: Path) -> list[Path]:
    """Write a figure as PNG, SVG and PDF, and its tidy frame as CSV, each whole or not at all.

    Words that the picture leaves out stand beside it, as plain text and as a caption of LaTeX.
    """
    target = directory / drawing.stem
    figure = drawing.figure
    fix_layout(figure)
    paths = [target.with_name(f"{target.name}.{form}") for form in _FORMATS]
    for path in paths:
        write_picture(figure, path)
    table = target.with_name(f"{target.name}.csv")
    with whole_file(table) as beside:
        write_csv(drawing.summary, beside)
    if figure.style.draws_all_words:
        for old in _name_words(target):  # of an earlier picture in another style
            old.unlink(missing_ok=True)
    return [*paths, table, *_write_words(figure, target)]


def write_single(figure: StyledFigure, path: Path) -> list[Path]:
    """Write a figure to one file, in the format of its suffix, and beside it the words that it leaves out.

    Files beside it that it does not write are left alone: they may be its user's.
    """
    fix_layout(figure)
    write_picture(figure, path)
    return [path, *_write_words(figure, path.with_name(f"{path.stem}_caption"))]


def _name_words(target: Path) -> tuple[Path, Path]:
    return target.with_name(f"{target.name}.txt"), target.with_name(f"{target.name}.tex")


def _write_words(figure: StyledFigure, target: Path) -> list[Path]:
    if figure.style.draws_all_words:
        return []
    plain, latex = _name_words(target)
    write_whole(plain, plain_words(figure.title, figure.caption))
    write_whole(latex, latex_caption(figure.title, figure.caption))
    return [plain, latex]


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


def write_picture(figure: StyledFigure, path: Path) -> None:
    """Write a figure as the file's suffix says (``.png``, ``.svg`` or ``.pdf``), whole or not at all."""
    form = path.suffix.removeprefix(".")
    with whole_file(path) as beside, figure.style.applied():
        figure.savefig(beside, format=form, dpi=RESOLUTION, **_FORMATS[form])
