import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import of_kind, present
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from adapert.errors import InputError
from analysis.figures.pathways import MAX_LABELS, plot_pathways
from analysis.pathways import STATUSES


def _summary(n_pathways: int, statuses: tuple[str, ...] = STATUSES, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    observed = generator.normal(0, 1.5, size=n_pathways)
    return pd.DataFrame(
        {
            "evaluation": "test_001",
            "perturbation": "HIRA",
            "variant": "adapert",
            "pathway": [f"HALLMARK_SET_{number}" for number in range(n_pathways)],
            "n_genes": 20,
            "observed_nes": observed,
            "observed_fdr": 0.1,
            "predicted_nes": observed + generator.normal(0, 0.5, size=n_pathways),
            "predicted_fdr": 0.1,
            "status": [statuses[number % len(statuses)] for number in range(n_pathways)],
        }
    )


def _labels(figure: Figure) -> list[object]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_points_have_the_colour_of_their_status_and_r_in_the_title() -> None:
    summary = _summary(40)
    axes = plot_pathways(summary).axes[0]
    legend = [text.get_text() for text in present(axes.get_legend()).get_texts()]
    assert legend == [f"{status} (10)" for status in STATUSES]
    r = np.corrcoef(summary["observed_nes"], summary["predicted_nes"])[0, 1]
    assert axes.get_title(loc="left") == f"40 pathways: r = {r:.2f}, p < .001"


def test_pathways_of_both_are_named_and_never_overlap() -> None:
    figure = plot_pathways(_summary(60, statuses=("both",)))
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    assert len(texts) == MAX_LABELS
    assert texts[0].get_text().startswith("SET ")
    boxes = [present(figure.axes[0].get_legend()).get_window_extent()]
    for text in texts:
        renderer = of_kind(FigureCanvasAgg, figure.canvas).get_renderer()  # type: ignore[no-untyped-call]
        of_kind(Annotation, text).update_positions(renderer)
        boxes.append(Text.get_window_extent(text))  # of an annotation it would include the line
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[number + 1 :])


@pytest.mark.parametrize("n_pathways", [1, 2, 3])
def test_few_pathways_still_draw(n_pathways: int) -> None:
    figure = plot_pathways(_summary(n_pathways, statuses=("neither",)))
    figure.draw_without_rendering()
    assert _labels(figure) == []
    title = figure.axes[0].get_title(loc="left")
    assert title.startswith(f"{n_pathways} pathway")
    assert ("undefined" in title) == (n_pathways < 3)


@pytest.mark.parametrize("is_one_sided", [True, False])
def test_scores_of_one_sign_are_said_to_be_so(is_one_sided: bool) -> None:
    summary = _summary(40)
    if is_one_sided:
        summary["observed_nes"] = summary["observed_nes"].abs()
    figure = plot_pathways(summary)
    caption = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert ("Nearly all observed NES have one sign" in caption) == is_one_sided


def test_scores_of_no_pathway_are_refused() -> None:
    with pytest.raises(InputError, match="no pathway has both"):
        plot_pathways(_summary(3).assign(predicted_nes=np.nan))
