"""Each figure looks as it did: `fixtures.figure_images` says how to draw the stored pictures again."""

from pathlib import Path

import matplotlib
import pytest
from fixtures.figure_frames import FRAMES
from fixtures.figure_images import DRAWN_WITH, STORED, draw_picture, name_clipped, picture_name
from matplotlib.testing.compare import compare_images

from analysis.figures.page import STYLES
from analysis.figures.recipes import figure_stems

TOLERANCE = 1.0
"""Root mean square over pixels, of 255: a label that is gone makes 4, a legend 11 or more."""

CHEAP = {
    *(("ablation_path", "slide"), ("importance", "paper"), ("expected_best", "paper")),
    *(("search_curves", "paper"), ("figure_9_pathways", "slide")),
}
"""Quick ones, for the fast tests."""

CASES = [
    pytest.param(stem, style, marks=() if (stem, style) in CHEAP else pytest.mark.slow)
    for stem in FRAMES
    for style in STYLES
]


def test_every_figure_has_a_fixed_frame_and_stored_pictures() -> None:
    assert set(FRAMES) == set(figure_stems())
    stored = {path.name for path in STORED.iterdir()}
    assert stored == {picture_name(stem, style) for stem in FRAMES for style in STYLES}


@pytest.mark.skipif(
    not matplotlib.__version__.startswith(f"{DRAWN_WITH}."), reason=f"drawn with matplotlib {DRAWN_WITH}"
)
@pytest.mark.parametrize(("stem", "style"), CASES)
def test_a_figure_looks_as_it_did_and_nothing_is_clipped(stem: str, style: str, tmp_path: Path) -> None:
    figure = draw_picture(stem, style, tmp_path)
    name = picture_name(stem, style)
    assert compare_images(str(STORED / name), str(tmp_path / name), TOLERANCE) is None
    assert name_clipped(figure) == []
