from io import StringIO

import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from analysis.figures.page import SCREEN, StyledFigure
from analysis.figures.writing import fix_layout


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
