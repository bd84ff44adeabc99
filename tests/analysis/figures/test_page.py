import re
import textwrap
from pathlib import Path

import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Text

from analysis.fields import HYPERPARAMETERS
from analysis.figures.ablation import VARIANT_LABELS
from analysis.figures.page import (
    PAPER,
    SCREEN,
    SLIDE,
    STYLES,
    Span,
    Style,
    StyledFigure,
    build_figure,
    wrap_caption,
)
from analysis.figures.scales import power_text
from analysis.figures.writing import write_picture


def test_a_caption_is_cut_by_what_is_drawn_and_never_within_a_formula() -> None:
    weight = r"$\lambda_{\mathrm{non}}$"
    caption = f"The weight {weight} and {weight} of Eq. 16, or $a b$"
    # As drawn: "The weight xnon and xnon" is 24 characters.
    assert wrap_caption(caption, 24) == [f"The weight {weight} and {weight}", "of Eq. 16, or $a b$"]
    assert wrap_caption(caption, 23)[0] == f"The weight {weight} and"
    assert wrap_caption("One of 5 $", 8) == ["One of 5", "$"]
    plain = "A dot is a gene of a well-known pathway, and the line is the mean. " * 4
    assert wrap_caption(plain, 126) == textwrap.wrap(plain, 126, break_on_hyphens=False)


SPANS: tuple[Span, ...] = ("column", "page")
TITLE = "Losses of the model: study 'parts', validation split, 3 seeds"
WORDS = (TITLE, " ".join(["Dots: mean over perturbations."] * 12))


def _build(style: Style, span: Span = "page", panel_height: float = 1.5) -> StyledFigure:
    with style.applied():
        figure, panels = build_figure(style, (1, 2), panel_height, *WORDS, span=span)
        for axes in panels.flat:
            axes.set_xlabel("difference")
    figure.canvas.draw()
    return figure


def test_paper_is_as_wide_as_a_journals_column_or_page_and_leaves_the_words_out() -> None:
    widths = [_build(PAPER, span).get_figwidth() * 25.4 for span in SPANS]
    assert widths == pytest.approx([85, 180])
    figure = _build(PAPER)
    assert not figure.texts
    assert (figure.title, figure.caption) == WORDS
    assert figure.get_figheight() < _build(SCREEN).get_figheight() - 0.5


def test_screen_draws_all_words_and_a_slide_the_title() -> None:
    screen, slide = (
        [" ".join(text.get_text().split()) for text in _build(style).texts] for style in (SCREEN, SLIDE)
    )
    assert screen == list(WORDS)
    assert slide == [TITLE]


@pytest.mark.parametrize("panel_height", [0.5, 1.5, 6.0])
def test_a_slide_is_16_to_9_and_as_large_as_its_panels_need(panel_height: float) -> None:
    width, height = _build(SLIDE, panel_height=panel_height).get_size_inches()
    assert width / height == pytest.approx(16 / 9)
    assert width >= 6.4
    assert height >= panel_height


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_type_is_7_to_9_points_and_title_and_caption_stay_inside(style: Style) -> None:
    figure = _build(style, "column")
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    assert {float(text.get_fontsize()) for text in texts} <= {7.0, 8.0, 9.0}
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_a_long_legend_is_broken_into_lines_of_equal_length_above_the_panels() -> None:
    handles = [Line2D([], [], label=f"a system of number {number}") for number in range(6)]
    for style, n_columns in ((SCREEN, 3), (PAPER, 2)):
        with style.applied():
            figure, panels = build_figure(style, (1, 1), 1.5, *WORDS, span="column", legend=handles)
        figure.canvas.draw()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert legend._ncols == n_columns  # type: ignore[attr-defined]
        assert box.x1 <= figure.bbox.width
        assert panels[0, 0].get_window_extent().y1 < box.y0


def test_words_of_a_paper_are_text_in_svg_and_truetype_in_pdf(tmp_path: Path) -> None:
    figure = _build(PAPER)
    for ending in ("svg", "pdf"):
        write_picture(figure, tmp_path / f"f.{ending}")
    assert ">difference</text>" in (tmp_path / "f.svg").read_text()
    assert b"/FontFile2" in (tmp_path / "f.pdf").read_bytes()
    write_picture(_build(SCREEN), tmp_path / "screen.svg")
    assert "<text" not in (tmp_path / "screen.svg").read_text()


def test_formulas_are_of_the_font_that_all_words_have(tmp_path: Path) -> None:
    """A sign of another font is an empty box where that font is not installed."""
    with PAPER.applied():
        figure = StyledFigure(PAPER, "", "")
        for label in (*VARIANT_LABELS.values(), *HYPERPARAMETERS.values(), power_text(2e-5)):
            figure.text(0.5, 0.5, label)
    write_picture(figure, tmp_path / "labels.svg")
    fonts = re.findall(r'font-family: ([^";,]+)', (tmp_path / "labels.svg").read_text())
    assert set(fonts) == {"'DejaVu Sans'"}
