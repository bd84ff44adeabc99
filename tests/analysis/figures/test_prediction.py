import numpy as np
import pytest
from fixtures.narrowed import present
from fixtures.predictions import build_predictions

from adapert.errors import InputError
from analysis.figures.prediction import plot_prediction, summarize_prediction
from analysis.predictions import Predictions


@pytest.fixture
def predictions() -> Predictions:
    return build_predictions()


def test_frame_holds_a_gene_a_row_and_each_variants_scores(predictions: Predictions) -> None:
    summary = summarize_prediction(predictions, "G02")
    assert summary.groupby("variant", sort=False).size().to_dict() == {"adapert": 60, "mean": 60}
    for variant, genes in summary.groupby("variant"):
        r = np.corrcoef(genes["predicted_delta"], genes["observed_delta"])[0, 1]
        degs = genes[genes["is_deg"]]
        ratio = degs["predicted_delta"].std() / degs["observed_delta"].std()
        np.testing.assert_allclose(genes["pearson_delta"], r, err_msg=variant)
        np.testing.assert_allclose(genes["collapse_ratio"], ratio, err_msg=variant)


def test_axes_are_shared_and_say_variant_and_scores(predictions: Predictions) -> None:
    summary = summarize_prediction(predictions, "G02")
    figure = plot_prediction(summary)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0].startswith("AdaPert: r = 0.")
    assert titles[1].startswith("mean change: r = ")
    assert len({axes.get_xlim() for axes in figure.axes} | {axes.get_ylim() for axes in figure.axes}) == 1
    assert "G02, a large effect with" in figure.get_suptitle()
    labels = [text.get_text() for text in present(figure.axes[0].get_legend()).get_texts()]
    n_degs = predictions.n_degs[2]
    assert labels == [f"other genes ({60 - n_degs})", f"DEGs ({n_degs})"]


def test_a_perturbation_without_degs_is_drawn_where_it_is_named(predictions: Predictions) -> None:
    predictions.deg_mask[1] = False
    figure = plot_prediction(summarize_prediction(predictions, "G01", ("mean",)))
    figure.draw_without_rendering()
    assert figure.axes[0].get_title(loc="left").endswith("collapse ratio none")


def test_an_unknown_variant_is_refused(predictions: Predictions) -> None:
    with pytest.raises(InputError, match="no variant 'txpert'"):
        summarize_prediction(predictions, variants=("adapert", "txpert"))
