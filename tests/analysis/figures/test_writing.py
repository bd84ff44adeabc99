from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from analysis.figures.page import PAPER, SCREEN, StyledFigure, build_figure
from analysis.figures.writing import Drawing, fix_layout, write_drawing


class NoisyLayout(ConstrainedLayoutEngine):
    """Places panels as a solver does whose sums came in another order."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def execute(self, fig: Figure) -> None:
        super().execute(fig)
        for axes in fig.axes:
            axes.set_position(Bbox(axes.get_position(original=True).get_points() * (1 + self.noise)))


def saved(noise: float) -> str:
    with SCREEN.applied():
        figure = StyledFigure(SCREEN, "", "", layout=NoisyLayout(noise))
        for axes in figure.subplots(1, 2):
            axes.plot([1, 2], [3, 40])
    fix_layout(figure)
    file = StringIO()
    with SCREEN.applied():
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


@pytest.mark.parametrize("noise", [1e-15, 1e-13])
def test_the_last_digits_of_a_layout_change_no_byte_of_a_file(noise: float) -> None:
    assert saved(noise) == saved(0.0)
    assert saved(1e-3) != saved(0.0)


def test_a_caption_beside_a_picture_goes_with_the_picture_that_left_it_out(tmp_path: Path) -> None:
    kept = tmp_path / "table.tex"
    kept.write_text("another's")
    files: dict[str, list[str]] = {}
    for name, style in (("paper", PAPER), ("screen", SCREEN)):
        with style.applied():
            figure, _ = build_figure(style, (1, 1), 1.0, "A title", "A caption.")
        paths = write_drawing(Drawing("drawn", pd.DataFrame({"x": [1]}), figure), tmp_path)
        files[name] = sorted(path.suffix for path in paths)
        assert sorted(tmp_path.iterdir()) == sorted([*paths, kept])
    assert files["paper"] == [".csv", ".pdf", ".png", ".svg", ".tex", ".txt"]
    assert files["screen"] == [".csv", ".pdf", ".png", ".svg"]
