"""What a figure is drawn for, paper, screen or slide, and how its panels and words lie on that page."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

Span: TypeAlias = Literal["column", "page"]
"""What a figure needs of a journal's page: one column, or all of its width."""

FONT_SIZE = 8.0
SMALL_FONT_SIZE = 7.0

_MILLIMETRE = 1 / 25.4
_LINE_HEIGHT = 0.135
_HEADER_LINE_HEIGHT = 1.6 * _LINE_HEIGHT
_TITLE_LINE = 0.2
_LEGEND_LINE = 0.15
_CHARACTERS_PER_INCH = 18
_TITLE_CHARACTERS_PER_INCH = 14
_LEGEND_HANDLE = 0.5
_PRIVATE_USE = 0xE000
_AXIS_LABEL_HEIGHT = 0.25
_MARGIN = 0.06

_SETTINGS: Any = {
    "axes.labelcolor": "0.15",
    "xtick.color": "0.15",
    "ytick.color": "0.15",
    "text.color": "0.15",
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure on every machine
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "figure.titlesize": FONT_SIZE + 1,
    "xtick.labelsize": SMALL_FONT_SIZE,
    "ytick.labelsize": SMALL_FONT_SIZE,
    "legend.fontsize": SMALL_FONT_SIZE,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.edgecolor": "0.2",
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "svg.hashsalt": "adapert",  # the same frame gives the same bytes
}


@dataclass(frozen=True, kw_only=True)
class Style:
    """Sizes of a figure, and which of its words are drawn, for the place where it is shown.

    Attributes:
        widths: Of a figure that a column holds and of one that takes the page, inches. Nothing is scaled when
            a figure is shown at its width, so that type of 8 points is 8 points.
        aspect: Width over height; None makes a figure as high as its panels need.
        has_title: Whether the title is drawn above the panels.
        has_caption: Whether the caption is drawn below the panels.
        svg_type: Whether SVG files have their words as text, or as shapes that look alike everywhere.
    """

    widths: Mapping[Span, float]
    aspect: float | None = None
    has_title: bool = True
    has_caption: bool = True
    svg_type: Literal["text", "shapes"] = "shapes"

    @property
    def draws_all_words(self) -> bool:
        """Whether title and caption are in the picture, so that no file beside it need have them."""
        return self.has_title and self.has_caption

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set matplotlib's defaults inside the block: figures are built and saved in it."""
        with rc_context(_SETTINGS | {"svg.fonttype": "none" if self.svg_type == "text" else "path"}):
            yield


PAPER = Style(
    widths={"column": 85 * _MILLIMETRE, "page": 180 * _MILLIMETRE},
    has_title=False,
    has_caption=False,
    svg_type="text",
)
"""For a journal: widths of its columns, words that can be edited, title and caption beside the figure."""

SCREEN = Style(widths={"column": 7.0, "page": 7.0})
"""All on one picture that says what it shows wherever it goes."""

SLIDE = Style(widths={"column": 6.4, "page": 6.4}, aspect=16 / 9, has_caption=False)
"""To fill a slide 13.3 in wide, on which 8 points become 17: 1920 x 1080 dots where the panels fit in."""

STYLES: dict[str, Style] = {"paper": PAPER, "screen": SCREEN, "slide": SLIDE}


class StyledFigure(Figure):
    """A figure on a canvas of its own (pyplot never hears of it) that knows its words, drawn or not.

    Args:
        style: What it is drawn for.
        title: One line.
        caption: A paragraph.
        **figure: For matplotlib's ``Figure``.
    """

    def __init__(self, style: Style, title: str, caption: str, **figure: Any) -> None:
        super().__init__(**figure)
        FigureCanvasAgg(self)
        self.style, self.title, self.caption = style, title, caption


def wrap_caption(caption: str, width: int) -> list[str]:
    """Cut a caption into lines of at most a width, in characters as drawn: formulas are shorter than in TeX.

    A formula is never cut.
    """
    formulas = re.findall(r"\$[^$]+\$", caption)
    # Each stands as a word of its drawn length, of a character of its own, while lines are cut.
    marks = [chr(_PRIVATE_USE + number) for number in range(len(formulas))]
    for formula, mark in zip(formulas, marks, strict=True):
        caption = caption.replace(formula, mark * _drawn_length(formula), 1)
    text = "\n".join(textwrap.wrap(caption, width, break_on_hyphens=False))
    for formula, mark in zip(formulas, marks, strict=True):
        text = text.replace(mark * _drawn_length(formula), formula)
    return text.split("\n")


def _drawn_length(formula: str) -> int:
    r"""Count the characters that a formula is drawn as: ``$\lambda_{\mathrm{non}}$`` as four."""
    without_fonts = re.sub(r"\\math[a-z]+", "", formula)
    return max(1, len(re.sub(r"[{}_^$\s]", "", re.sub(r"\\[a-zA-Z]+", "x", without_fonts))))


def build_figure(
    style: Style,
    shape: tuple[int, int],
    panel_height: float,
    title: str,
    caption: str,
    span: Span = "page",
    legend: Sequence[Artist] = (),
    **subplots: Any,
) -> tuple[StyledFigure, np.ndarray[Any, Any]]:
    """Make a figure of panels, with a title above and a caption below them where its style draws these.

    Args:
        style: What it is drawn for.
        shape: Rows and columns of panels.
        panel_height: Height of a row, inches; the labels below the last row have their own.
        title: A line, wrapped where the figure is narrow.
        caption: A paragraph, wrapped here.
        span: Whether a column of a journal's page is wide enough.
        legend: Handles of a legend above the panels, where no data can lie under it.
        **subplots: For matplotlib's ``Figure.subplots``.

    Returns:
        The figure, and its Axes, (n_rows, n_columns).
    """
    width = style.widths[span]
    headings = wrap_caption(title, int(_TITLE_CHARACTERS_PER_INCH * width)) if style.has_title else []
    lines = wrap_caption(caption, int(_CHARACTERS_PER_INCH * width)) if style.has_caption else []
    n_legend_columns = _count_columns(legend, width)
    n_legend_rows = ceil(len(legend) / n_legend_columns)
    top = len(headings) * _HEADER_LINE_HEIGHT + _MARGIN
    if legend:
        top += _HEADER_LINE_HEIGHT + (n_legend_rows - 1) * _LEGEND_LINE
    bottom = len(lines) * _LINE_HEIGHT + 2 * _MARGIN
    height = top + shape[0] * panel_height + _AXIS_LABEL_HEIGHT + bottom
    if style.aspect is not None:
        width, height = max(width, style.aspect * height), max(height, width / style.aspect)
    figure = StyledFigure(style, title, caption, figsize=(width, height))
    figure.set_layout_engine(
        ConstrainedLayoutEngine(
            rect=(0, bottom / height, 1, 1 - (top + bottom) / height), w_pad=_MARGIN, h_pad=_MARGIN
        )
    )
    left = _MARGIN / width
    if headings:
        figure.suptitle(
            "\n".join(headings), x=left, y=1 - _MARGIN / height, ha="left", va="top", in_layout=False
        )
    if lines:
        figure.text(
            left,
            _MARGIN / height,
            "\n".join(lines),
            ha="left",
            va="bottom",
            size=SMALL_FONT_SIZE,
            linespacing=1.25,
            in_layout=False,
        )
    if legend:
        figure.legend(
            handles=legend,
            loc="upper left",
            bbox_to_anchor=(0, 1 - len(headings) * _TITLE_LINE / height),
            ncols=n_legend_columns,
            frameon=False,
            borderaxespad=0.2,
        ).set_in_layout(False)
    return figure, figure.subplots(*shape, squeeze=False, **subplots)


def build_grid(
    style: Style, n_panels: int, n_columns: int, *args: Any, **keywords: Any
) -> tuple[StyledFigure, list[Axes]]:
    """Make a figure of so many panels, row by row; arguments as `build_figure` after its shape."""
    n_columns = min(n_columns, n_panels)
    figure, panels = build_figure(style, (-(-n_panels // n_columns), n_columns), *args, **keywords)
    for axes in panels.flat[n_panels:]:
        axes.set_visible(False)
    return figure, list(panels.flat[:n_panels])


def _count_columns(handles: Sequence[Artist], width: float) -> int:
    """Count the columns of a legend: one line where it fits, else as few lines of equal length as fit."""
    widths = [
        _LEGEND_HANDLE + _drawn_length(str(handle.get_label())) / _CHARACTERS_PER_INCH for handle in handles
    ]
    if sum(widths) <= width:
        return max(1, len(handles))
    n_rows = ceil(len(handles) / max(1, int(width / max(widths))))
    return ceil(len(handles) / n_rows)
