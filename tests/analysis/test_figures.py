import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from fixtures.exhaustive import few_fast
from fixtures.narrowed import present
from fixtures.store import MakeTable, Store
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from adapert.errors import InputError
from analysis.figures import writing
from analysis.figures.ablation import plot_ablation, summarize_ablation
from analysis.figures.page import SCREEN, build_figure
from analysis.figures.recipes import FIGURES, draw_figures
from analysis.figures.sensitivity import plot_sensitivity, summarize_sensitivity
from analysis.figures.writing import Drawing, FigureRecipe, write_drawing, write_figure

GROUPS = {"large": ["D"], "small": ["A", "B", "C"]}
(FIGURE_4,), (FIGURE_5,) = FIGURES["ablation"], FIGURES["sensitivity"]
BY_EFFECT_SIZE = pytest.mark.parametrize("recipe", [FIGURE_4, FIGURE_5], ids=["ablation", "sensitivity"])


def _rows(
    variants: Mapping[Any, float],
    metrics: Sequence[str] = ("pds", "pearson_delta", "rank_overlap_at_50", "mse"),
    groups: dict[str, list[str]] | None = None,
) -> list[dict[str, Any]]:
    """Every perturbation of a variant has the variant's level."""
    return [
        {
            "variant": variant,
            "lambda_non": variant if isinstance(variant, float) else 3e-4,
            "perturbation": name,
            "effect_size": group,
            "metric": metric,
            "seed": seed,
            "value": level,
        }
        for variant, level in variants.items()
        for group, names in (groups or GROUPS).items()
        for name in names
        for metric in metrics
        for seed in (0, 1)
    ]


def _build_ablation(make_table: MakeTable) -> pd.DataFrame:
    return make_table(_rows({"no_graph": 0.3, "no_context": 0.4, "full": 0.5}), study="parts")


def _build_sensitivity(make_table: MakeTable) -> pd.DataFrame:
    return make_table(_rows({0.0: 0.4, 1e-4: 0.6, 1e-2: 0.6, 1e-1: 0.2}), study="lambda")


@pytest.fixture
def ablation_table(make_table: MakeTable) -> pd.DataFrame:
    """May be changed by a test."""
    return _build_ablation(make_table)


@pytest.fixture
def sensitivity_table(make_table: MakeTable) -> pd.DataFrame:
    """May be changed by a test."""
    return _build_sensitivity(make_table)


@pytest.fixture(scope="module")
def ablation_summary(make_table: MakeTable) -> pd.DataFrame:
    """Of the table; read-only, as the figure is."""
    return summarize_ablation(_build_ablation(make_table))


@pytest.fixture(scope="module")
def ablation_figure(ablation_summary: pd.DataFrame) -> Figure:
    return plot_ablation(ablation_summary)


@pytest.fixture(scope="module")
def sensitivity_summary(make_table: MakeTable) -> pd.DataFrame:
    """Of the table; read-only, as the figure is."""
    return summarize_sensitivity(_build_sensitivity(make_table))


@pytest.fixture(scope="module")
def sensitivity_figure(sensitivity_summary: pd.DataFrame) -> Figure:
    return plot_sensitivity(sensitivity_summary)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def _plotted(axes: Axes) -> dict[str, list[float]]:
    """Map each line's label to its x values."""
    return {str(line.get_label()): np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()}


def test_ablation_frame_is_exact_and_ordered(ablation_summary: pd.DataFrame) -> None:
    summary = ablation_summary
    assert list(summary.columns[:5]) == ["study", "split", "effect_size", "variant", "metric"]
    assert summary["effect_size"].unique().tolist() == ["small", "large"]
    assert summary["variant"].unique().tolist() == ["full", "no_context", "no_graph"]
    assert summary["metric"].unique().tolist() == ["pearson_delta", "rank_overlap_at_50", "pds"]
    assert len(summary) == 2 * 3 * 3
    np.testing.assert_allclose(
        summary["mean"], summary["variant"].map({"full": 0.5, "no_context": 0.4}).fillna(0.3)
    )
    assert summary.groupby("effect_size")["n_perturbations"].unique().map(list).to_dict() == {
        "large": [1],
        "small": [3],
    }


def test_variants_without_a_label_keep_the_order_of_their_recipe(make_table: MakeTable) -> None:
    levels = {"zebra": 0.4, "mean": 0.3, "full": 0.5, "ape": 0.3, "no_context": 0.4}
    summary = summarize_ablation(make_table(_rows(levels)))
    order = ["full", "no_context", "zebra", "ape", "mean"]
    assert summary["variant"].unique().tolist() == order
    labels = [label.get_text() for label in plot_ablation(summary).axes[0].get_yticklabels()]
    assert labels[2:] == ["zebra", "ape", "mean change"]


def test_ablation_axes_carry_groups_metrics_and_variants(ablation_figure: Figure) -> None:
    panels = np.array(ablation_figure.axes).reshape(2, 6)
    assert [axes.get_ylabel() for axes in panels[:, 0]] == ["small (n=3)", "large (n=1)"]
    assert [axes.get_xlabel() for axes in panels[-1]] == [
        "Pearson-delta ↑",
        "difference",
        "Rank overlap@50 ↑",
        "difference",
        "PDS ↑",
        "difference",
    ]
    assert [label.get_text() for label in panels[0, 0].get_yticklabels()] == [
        "full model",
        r"w/o $\mathbf{z}_{\mathrm{context}}$",
        "no_graph",
    ]
    lines = _plotted(panels[1, 4])
    assert (lines["full"], lines["no_context"], lines["no_graph"]) == ([0.5], [0.4], [0.3])


def test_differences_to_the_full_model_stand_beside_the_means(
    ablation_figure: Figure, ablation_summary: pd.DataFrame
) -> None:
    panels = np.array(ablation_figure.axes).reshape(2, 6)
    lines = _plotted(panels[1, 5])
    assert "full" not in lines  # its own difference is none
    assert lines["no_context"] + lines["no_graph"] == pytest.approx([-0.1, -0.2])
    texts = " ".join(_texts(ablation_figure)).replace("\n", " ")
    assert "Beside it: the mean paired difference to the full model, with its interval" in texts
    # The test family is named, although none of so few perturbations can pass.
    assert "Nothing differs from the full model on the same perturbations and seeds" in texts
    assert "every variant with the full model, in each effect-size group" in texts
    alone = plot_ablation(ablation_summary[ablation_summary["variant"] == "full"])
    assert len(alone.axes) == 2 * 3


def test_a_variant_that_lost_everything_does_not_hide_the_others(make_table: MakeTable) -> None:
    levels = {"full": 0.5, "no_context": 0.49, "no_non_deg": 0.495, "no_graph": 0.48, "lost": -0.5}
    axes = plot_ablation(summarize_ablation(make_table(_rows(levels)))).axes[1]
    assert axes.get_xlim()[0] > -0.2
    assert [text.get_text() for text in axes.texts] == ["-1.00"]
    assert _plotted(axes)["no_graph"] == [pytest.approx(-0.02)]


def test_a_full_model_without_the_loss_is_warned_of(
    ablation_table: pd.DataFrame, ablation_figure: Figure
) -> None:
    without = ablation_table.replace({"variant": {"no_graph": "no_non_deg"}}).assign(lambda_non=1e-5)
    texts = " ".join(_texts(plot_ablation(summarize_ablation(without)))).replace("\n", " ")
    assert "The full model's lambda_non of 1e-05 is near 0, so that leaving the non-DEG loss out" in texts
    assert "near 0" not in " ".join(_texts(ablation_figure))


@BY_EFFECT_SIZE
def test_des_of_cells_is_drawn_in_place_of_the_rank_overlap(
    make_table: MakeTable, recipe: FigureRecipe
) -> None:
    frame = make_table(_rows({0.0: 0.4, 1e-4: 0.6}))
    tested = frame[frame["metric"] == "rank_overlap_at_50"].assign(metric="overlap_at_50", value=0.3)
    both = pd.concat([frame, tested], ignore_index=True).astype({"variant": str})
    summary = recipe.summarize(both)
    assert set(summary["metric"]) >= {"pearson_delta", "overlap_at_50", "pds"}
    assert "rank_overlap_at_50" not in set(summary["metric"])
    figure = recipe.plot(summary)
    texts = " ".join(_texts(figure)).replace("\n", " ")
    assert "DES@50 ↑" in texts
    assert "DES@50 is of cells emitted from the predictions and tested." in texts
    without = " ".join(_texts(recipe.plot(recipe.summarize(frame.astype({"variant": str}))))).replace(
        "\n", " "
    )
    assert "Rank overlap@50, by predicted deltas, stands in for DES@50." in without
    undefined = both.assign(value=both["value"].where(both["metric"] != "overlap_at_50"))
    assert "overlap_at_50" not in set(recipe.summarize(undefined)["metric"])


def test_ablation_says_study_split_seeds_and_interval(ablation_figure: Figure) -> None:
    texts = " ".join(_texts(ablation_figure)).replace("\n", " ")
    assert "study 'parts', validation split, 2 seeds" in texts
    assert "95% interval of that mean under a two-level bootstrap" in texts
    assert "none for a single perturbation" in texts


def test_reference_models_follow_the_variants_as_hollow_dots(make_table: MakeTable) -> None:
    levels = {"ridge_both": 0.6, "control": 0.1, "no_graph": 0.3, "full": 0.5}
    summary = summarize_ablation(make_table(_rows(levels)))
    assert summary["variant"].unique().tolist() == ["full", "no_graph", "control", "ridge_both"]
    figure = plot_ablation(summary)
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["full model", "no_graph", "no change", "ridge on both"]
    fills = {line.get_label(): line.get_markerfacecolor() for line in axes.get_lines()}
    assert fills["control"] == fills["ridge_both"] == "white"
    assert fills["no_graph"] != "white"
    assert "Hollow: reference models." in " ".join(_texts(figure)).replace("\n", " ")


def test_ablation_draws_no_group_without_a_value(ablation_table: pd.DataFrame) -> None:
    ablation_table.loc[ablation_table["effect_size"] == "large", "value"] = np.nan
    figure = plot_ablation(summarize_ablation(ablation_table))
    assert [axes.get_ylabel() for axes in figure.axes] == ["small (n=3)", *[""] * 5]


def test_ablation_says_where_a_metric_lacks_perturbations(ablation_table: pd.DataFrame) -> None:
    undefined = (
        (ablation_table["perturbation"] == "A")
        & (ablation_table["metric"] == "pearson_delta")
        & (ablation_table["variant"] == "no_graph")
    )
    ablation_table.loc[undefined, "value"] = np.nan
    figure = plot_ablation(summarize_ablation(ablation_table))
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["n=2\u20133", *[""] * 11]


def test_sensitivity_frame_marks_the_best_weight_of_each_group(sensitivity_summary: pd.DataFrame) -> None:
    summary = sensitivity_summary
    assert summary["lambda_non"].unique().tolist() == [0.0, 1e-4, 1e-2, 1e-1]
    best = summary[summary["is_best"]]
    assert len(best) == 4 * 2
    assert best.groupby("metric")["lambda_non"].unique().map(list).to_dict() == {
        "mse": [1e-1],  # lower is better
        "pds": [1e-4],  # of equals the smallest
        "pearson_delta": [1e-4],
        "rank_overlap_at_50": [1e-4],
    }


def test_sensitivity_axes_are_logarithmic_with_zero_in_its_place(sensitivity_figure: Figure) -> None:
    axes = sensitivity_figure.axes[0]
    assert axes.get_xscale() == "symlog"
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "0",
        "$10^{-4}$",
        "$10^{-3}$",
        "$10^{-2}$",
        "$10^{-1}$",
    ]
    assert "//" in [text.get_text() for text in axes.texts]
    assert axes.get_xlim()[0] < 0
    assert any(np.asarray(line.get_xdata()).tolist() == [0.0, 1e-4, 1e-2, 1e-1] for line in axes.get_lines())


def test_sensitivity_without_zero_has_no_break(sensitivity_table: pd.DataFrame) -> None:
    positive = sensitivity_table[sensitivity_table["lambda_non"] > 0]
    figure = plot_sensitivity(summarize_sensitivity(positive))
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert not [text for axes in figure.axes for text in axes.texts]
    assert "left of the break" not in " ".join(_texts(figure))


def test_sensitivity_labels_the_weights_where_they_span_no_decades(make_table: MakeTable) -> None:
    summary = summarize_sensitivity(make_table(_rows({2e-3: 0.5, 3.5e-3: 0.5})))
    labels = [label.get_text() for label in plot_sensitivity(summary).axes[0].get_xticklabels()]
    assert labels == [r"$2\times10^{-3}$", r"$3.5\times10^{-3}$"]


def test_sensitivity_carries_metrics_and_group_counts(sensitivity_figure: Figure) -> None:
    assert [axes.get_ylabel() for axes in sensitivity_figure.axes] == [
        "Pearson-delta ↑",
        "Rank overlap@50 ↑",
        "PDS ↑",
        "MSE of delta ↓",
    ]
    legend = [text.get_text() for text in sensitivity_figure.legends[0].get_texts()]
    assert legend == ["small (n=3)", "large (n=1)", "best of its group"]


def test_two_readings_stand_side_by_side_on_one_axis_a_metric(make_table: MakeTable) -> None:
    letter = [row | {"non_deg_reduction": "mean"} for row in _rows({1e-4: 0.4, 0.03: 0.45})]
    summary = summarize_sensitivity(make_table([*_rows({0.0: 0.4, 1e-4: 0.6, 0.1: 0.2}), *letter]))
    assert summary.groupby("reading")["lambda_non"].unique().map(list).to_dict() == {
        "mean and sum": [0.0, 1e-4, 0.1],
        "to the letter": [0.0, 1e-4, 0.03],
    }
    best = summary[summary["is_best"] & (summary["metric"] == "pds")].groupby("reading")["lambda_non"]
    assert best.unique().map(list).to_dict() == {"mean and sum": [1e-4], "to the letter": [0.03]}
    figure = plot_sensitivity(summary)
    panels = np.array(figure.axes).reshape(4, 2)
    assert [axes.get_title() for axes in panels[0]] == [
        "Eq. 15 a mean over genes, Eq. 16 a sum",
        "Eq. 15 and 16 both sums, to the letter",
    ]
    assert not any(axes.get_title() for axes in panels[1:].flat)
    assert [panels[0, column].get_ylabel() for column in (0, 1)] == ["Pearson-delta ↑", ""]
    assert all(left.get_ylim() == right.get_ylim() for left, right in panels)
    assert all(left.get_xlim() == right.get_xlim() for left, right in panels)
    assert "weight\u00a00 is the same in both" in " ".join(_texts(figure)).replace("\n", " ")


def test_a_figure_of_one_reading_names_it(
    sensitivity_figure: Figure, sensitivity_table: pd.DataFrame
) -> None:
    assert "Loss: Eq. 15 a mean over genes" in " ".join(_texts(sensitivity_figure)).replace("\n", " ")
    letter = plot_sensitivity(summarize_sensitivity(sensitivity_table.assign(non_deg_reduction="mean")))
    assert "Loss: Eq. 15 and 16 both sums" in " ".join(_texts(letter)).replace("\n", " ")


def test_sensitivity_legend_lies_above_all_panels(sensitivity_figure: Figure) -> None:
    sensitivity_figure.draw_without_rendering()
    bottom = sensitivity_figure.legends[0].get_window_extent().y0
    assert all(axes.get_window_extent().y1 < bottom for axes in sensitivity_figure.axes)


def test_sensitivity_needs_the_weight_of_every_run(sensitivity_table: pd.DataFrame) -> None:
    sensitivity_table.loc[0, "lambda_non"] = np.nan
    with pytest.raises(InputError, match=r"'loss\.lambda_non', but run 'r' has none"):
        summarize_sensitivity(sensitivity_table)


@pytest.fixture
def clear_ablation(make_table: MakeTable) -> pd.DataFrame:
    """Twelve perturbations, of which each does worse without its context, and no seed differs."""
    names = [f"G{index}" for index in range(12)]
    rows = _rows({"full": 0.5, "no_context": 0.5, "no_graph": 0.5}, groups={"small": names})
    table = make_table(rows, study="parts")
    loss = table["perturbation"].map({name: 0.1 + 0.001 * place for place, name in enumerate(names)})
    return table.assign(value=table["value"] - loss.where(table["variant"] == "no_context", 0.0))


def test_ablation_marks_what_differs_from_the_full_model(clear_ablation: pd.DataFrame) -> None:
    summary = summarize_ablation(clear_ablation)
    assert set(summary.loc[summary["is_different"], "variant"]) == {"no_context"}
    row = summary[(summary["variant"] == "no_context") & (summary["metric"] == "pds")].iloc[0]
    assert row["difference"] == pytest.approx(-0.1055)
    assert (row["wins"], row["losses"]) == (0, 12)
    assert summary.loc[summary["variant"] == "full", "difference"].isna().all()
    figure = plot_ablation(summary)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["*", "*", "*"]
    assert "Asterisk: differs from the full model" in " ".join(_texts(figure)).replace("\n", " ")


def test_the_unadjusted_p_of_a_mark_is_scipys(clear_ablation: pd.DataFrame) -> None:
    summary = summarize_ablation(clear_ablation)
    row = summary[(summary["variant"] == "no_context") & (summary["metric"] == "pds")].iloc[0]
    wide = clear_ablation[clear_ablation["metric"] == "pds"].pivot_table(
        index="perturbation", columns="variant", values="value"
    )
    p = scipy.stats.wilcoxon(wide["no_context"] - wide["full"]).pvalue
    assert row["p_holm"] == pytest.approx(4 * p)  # two variants, in the group and in all groups together


def test_sensitivity_fills_what_differs_from_no_loss(clear_ablation: pd.DataFrame) -> None:
    weights = {"full": 0.0, "no_context": 0.1, "no_graph": 0.01}
    table = clear_ablation.assign(lambda_non=clear_ablation["variant"].map(weights))
    summary = summarize_sensitivity(table)
    assert set(summary.loc[summary["is_different"], "lambda_non"]) == {0.1}
    axes = plot_sensitivity(summary).axes[0]
    fills = {tuple(np.asarray(line.get_xdata())): line.get_markerfacecolor() for line in axes.get_lines()}
    assert fills[(0.0, 0.01)] == "white"
    assert fills[(0.1,)] != "white"


def test_an_interval_beyond_all_there_is_to_see_is_cut_and_said(
    ablation_summary: pd.DataFrame, ablation_figure: Figure
) -> None:
    figure = plot_ablation(ablation_summary.assign(low=-50.0, high=50.0))
    assert all(np.diff(axes.get_xlim()) < 1 for axes in figure.axes)
    assert "Some reach beyond the panel." in " ".join(_texts(figure)).replace("\n", " ")
    assert "beyond the panel" not in " ".join(_texts(ablation_figure))


@BY_EFFECT_SIZE
@pytest.mark.parametrize("n_perturbations", few_fast([1, 2, 3], 1))
@pytest.mark.parametrize("variants", [{0.0: 0.5}, {0.0: 0.5, 1e-3: 0.5}])
def test_few_perturbations_of_one_group_still_draw(
    recipe: FigureRecipe, n_perturbations: int, variants: dict[float, float], make_table: MakeTable
) -> None:
    names = [f"G{index}" for index in range(n_perturbations)]
    table = make_table(_rows(variants, ["pds"], {"medium": names})).astype({"variant": str})
    figure = recipe.plot(recipe.summarize(table))
    figure.draw_without_rendering()
    assert f"medium (n={n_perturbations})" in _texts(figure)


@BY_EFFECT_SIZE
def test_a_table_without_the_figures_metrics_is_refused(recipe: FigureRecipe, make_table: MakeTable) -> None:
    with pytest.raises(InputError, match="no row of any of them"):
        recipe.summarize(make_table([{"metric": "other", "lambda_non": 0.1}]))


@BY_EFFECT_SIZE
def test_a_table_of_nan_is_refused(recipe: FigureRecipe, make_table: MakeTable) -> None:
    summary = recipe.summarize(make_table([{"value": np.nan, "lambda_non": 0.1}]))
    with pytest.raises(InputError, match="every metric of every trial is NaN"):
        recipe.plot(summary)


@BY_EFFECT_SIZE
def test_text_stays_inside_the_figure_and_apart_at_7_points(
    recipe: FigureRecipe, make_table: MakeTable
) -> None:
    variants = ["full", "no_context", "no_context_no_non_deg", "neighbourhood"]
    rows = _rows({name: 0.1 * index for index, name in enumerate(variants)})
    table = make_table(rows).assign(lambda_non=lambda frame: frame["variant"].map(variants.index) * 1e-3)
    figure = recipe.plot(recipe.summarize(table))
    figure.draw_without_rendering()
    assert figure.get_figwidth() == 7.0
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    assert min(float(text.get_fontsize()) for text in texts if text.get_visible()) >= 7
    panels = [present(axes.get_tightbbox()) for axes in figure.axes if axes.get_visible()]
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert not any(map(box.overlaps, panels))


@pytest.mark.parametrize("lowest", [0.05, 0.1, 0.3, 0.6])
def test_panels_of_variants_have_no_more_numbers_than_find_room(make_table: MakeTable, lowest: float) -> None:
    table = make_table(_rows({"full": 0.9, "no_context": lowest}, ["pearson_delta"]))
    axes, *_ = FIGURE_4.plot(FIGURE_4.summarize(table)).axes
    axes.set_xlim(lowest - 0.03, 0.93)
    assert 2 <= sum(lowest - 0.03 <= tick <= 0.93 for tick in axes.get_xticks()) <= 3


@pytest.fixture(scope="module")
def one_metric(make_table: MakeTable) -> pd.DataFrame:
    """A table whose Figure 5 has one panel; read-only, as its files are."""
    return make_table(_rows({0.0: 0.4, 1e-2: 0.6}, ["pds"]))


@pytest.fixture(scope="module")
def written(one_metric: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_figure(FIGURE_5, one_metric, tmp_path_factory.mktemp("figure") / "figures")


def test_files_are_png_svg_pdf_and_csv(written: list[Path], one_metric: pd.DataFrame) -> None:
    assert [path.name for path in written] == [
        f"figure_5_sensitivity.{ending}" for ending in ("png", "svg", "pdf", "csv")
    ]
    assert sorted(written[0].parent.iterdir()) == sorted(written)
    assert matplotlib.image.imread(written[0]).shape[1] == 2100  # 7 in at 300 dpi
    assert ElementTree.parse(written[1]).getroot().tag.endswith("svg")
    assert written[2].read_bytes().startswith(b"%PDF")
    pd.testing.assert_frame_equal(pd.read_csv(written[3]), summarize_sensitivity(one_metric))


@pytest.mark.slow
@BY_EFFECT_SIZE
@pytest.mark.usefixtures("small_pictures")
def test_a_figure_is_laid_out_as_matplotlib_would_when_it_saves_it(
    recipe: FigureRecipe, ablation_summary: pd.DataFrame, sensitivity_summary: pd.DataFrame, tmp_path: Path
) -> None:
    whole = ablation_summary if recipe is FIGURE_4 else sensitivity_summary
    summary = whole[whole["metric"] == "pds"]
    drawn, *_ = write_drawing(Drawing("drawn", summary, recipe.plot(summary)), tmp_path)
    with SCREEN.applied():
        recipe.plot(summary).savefig(tmp_path / "saved.png", dpi=writing.RESOLUTION)
    image, saved = (matplotlib.image.imread(path) for path in (drawn, tmp_path / "saved.png"))
    np.testing.assert_allclose(image, saved, atol=4 / 255)


def test_the_same_table_gives_the_same_bytes(
    written: list[Path], one_metric: pd.DataFrame, tmp_path: Path
) -> None:
    again = write_figure(FIGURE_5, one_metric, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_a_failed_write_leaves_the_old_file(
    sensitivity_table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "figure_5_sensitivity.png"
    old.write_text("old")

    def fail(*_args: Figure | Path, **_keywords: object) -> NoReturn:
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(InputError, match="disk full"):
        write_figure(FIGURE_5, sensitivity_table, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_drawing_leaves_pyplot_alone() -> None:
    before = pyplot.get_fignums(), dict(matplotlib.rcParams)
    with SCREEN.applied():
        build_figure(SCREEN, (1, 1), 1.0, "title", "caption")
    assert (pyplot.get_fignums(), dict(matplotlib.rcParams)) == before


@pytest.mark.usefixtures("small_pictures")
def test_studies_are_drawn_by_their_design(
    store: Store, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    studies = ["vary_lambda", "ablate_parts", "search_wide", "fresh_seeds"]
    paths = draw_figures(store.studies(studies), tmp_path)
    stems = {study: {path.stem for path in files} for study, files in paths.items()}
    assert stems == {
        "vary_lambda": {"figure_5_sensitivity"},
        "ablate_parts": {"figure_4_ablation"},
        "search_wide": {"search_history", "search_curves"},
    }
    summary = pd.read_csv(tmp_path / "figure_4_ablation.csv")
    full = summary[(summary["variant"] == "full") & (summary["effect_size"] == "small")]
    np.testing.assert_allclose(full["mean"], 0.51)
    assert set(summary["n_seeds"]) == {2}
    assert [note.split(":")[0] for note in logged.messages] == [
        f"Left out search_{name}" for name in ("parallel", "slices", "contours")
    ]


@pytest.mark.usefixtures("small_pictures")
def test_a_study_without_anything_to_show_is_left_out_beside_others(
    store: Store, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    paths = draw_figures(store.studies(["start_only", "ablate_parts"]), tmp_path)
    assert list(paths) == ["ablate_parts"]
    assert "Left out figure_4_ablation_start_only: A study needs a finished trial" in logged.messages[0]


@pytest.mark.usefixtures("small_pictures")
def test_only_the_named_figures_are_drawn(store: Store, tmp_path: Path) -> None:
    paths = draw_figures(store.studies(["search_wide", "vary_lambda"]), tmp_path, only=["search_history"])
    assert {path.stem for path in tmp_path.iterdir()} == {"search_history"}
    assert list(paths) == ["search_wide"]


@pytest.mark.slow
@pytest.mark.usefixtures("small_pictures")
def test_two_studies_of_one_design_keep_their_own_files(store: Store, tmp_path: Path) -> None:
    paths = draw_figures(store.studies(["ablate_parts", "ablate_again"]), tmp_path)
    assert {study: files[0].name for study, files in paths.items()} == {
        "ablate_parts": "figure_4_ablation_ablate_parts.png",
        "ablate_again": "figure_4_ablation_ablate_again.png",
    }


@pytest.mark.parametrize(
    ("studies", "split", "message"),
    [
        (["fresh_seeds"], "validation", r"given were 'fresh_seeds \(reevaluation\)'"),
        ([], "validation", "given were none"),
        (
            ["vary_lambda", "ablate_parts"],
            "test",
            "'vary_lambda' has the split 'test'; they have 'validation'",
        ),
        (["vary_lambda", "ablate_prats"], "validation", "Did you mean 'ablate_parts'"),
        (["start_only"], "validation", "'start_only' has none"),
        (["vary_lambda", "lost_table"], "validation", "A run's artifacts must be readable"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path, studies: list[str], split: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_figures(store.studies(studies), tmp_path, split)
    assert not list(tmp_path.iterdir())
