from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import of_kind, present
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from adapert.errors import InputError
from analysis.figures.contours import plot_contours, summarize_contours
from analysis.figures.history import plot_history, summarize_history
from analysis.figures.learning_curves import plot_learning_curves, summarize_learning_curves
from analysis.figures.parallel import plot_parallel, summarize_parallel
from analysis.figures.slices import plot_slices, summarize_slices
from analysis.figures.style import NO_BREAK

N_TRIALS = 24
EPOCHS = 6


def _texts(figure: Figure) -> str:
    texts = [text.get_text() for text in figure.findobj(Text)]
    return " ".join(texts).replace("\n", " ")


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    """Of 24 trials every third was stopped after 2 of 6 epochs; the objective falls from tau .1 on."""
    numbers = np.arange(1, N_TRIALS + 1)
    is_stopped = numbers % 3 == 0
    tau = 10 ** ((numbers * 0.618 % 1) * 2 - 1)
    frame = pd.DataFrame(
        {
            "study": "wide",
            "number": numbers,
            "status": np.where(is_stopped, "stopped", "finished"),
            "reason": np.where(is_stopped, "rung", "epochs"),
            "epoch": np.where(is_stopped, 2.0, EPOCHS),
            "objective": 0.5 - 0.1 * np.log10(tau) - 0.2 * is_stopped,
            "loss.lambda_non": 10.0 ** -(1 + numbers % 5 + 0.1 * (numbers % 7)),
            "model.tau": tau,
            "model.dropout": numbers / 50,
            "model.latent_size": np.array([64, 128, 256])[numbers % 3],
            "model.context": "adaptive",
        }
    )
    failed = frame.iloc[[0]].assign(number=N_TRIALS + 1, status="failed", reason="error", objective=np.nan)
    return pd.concat([frame, failed], ignore_index=True)


@pytest.fixture(scope="module")
def curves(trials: pd.DataFrame) -> pd.DataFrame:
    known = trials.dropna(subset=["objective"])
    identity = ["study", "number", "status", "reason", "objective"]
    rows = [
        {**trial[identity], "epoch": epoch, "value": trial["objective"] - 0.1 * (trial["epoch"] - epoch)}
        for _, trial in known.iterrows()
        for epoch in range(1, int(trial["epoch"]) + 1)
    ]
    return pd.DataFrame(rows)


def _best(trials: pd.DataFrame) -> int:
    finished = trials[trials["status"] == "finished"]
    return int(finished["number"].iloc[finished["objective"].argmax()])


def test_history_follows_the_best_finished_trial(trials: pd.DataFrame) -> None:
    summary = summarize_history(trials)
    assert summary["number"].tolist() == list(range(1, N_TRIALS + 1))  # the failed one has no objective
    expected, best = [], np.nan
    for status, objective in zip(summary["status"], summary["objective"], strict=True):
        if status == "finished" and not objective <= best:
            best = objective
        expected.append(best)
    assert summary["best_so_far"].tolist() == expected
    assert summary.loc[summary["is_best"], "number"].tolist() == [_best(trials)]


def test_history_shows_rungs_and_stopped_trials_hollow(trials: pd.DataFrame) -> None:
    figure = plot_history(summarize_history(trials))
    assert [axes.get_ylabel() for axes in figure.axes] == ["validation Pearson-delta ↑", "epochs"]
    assert "rung 2" in _texts(figure)
    assert "study 'wide', 24 trials (16 finished, 8 stopped early)" in _texts(figure)
    hollow = [line for line in figure.axes[0].get_lines() if line.get_markerfacecolor() == "white"]
    assert {x for line in hollow for x in np.asarray(line.get_xdata())} >= set(range(3, N_TRIALS + 1, 3))


def test_trials_far_below_the_finished_ones_are_marked_at_the_edge(trials: pd.DataFrame) -> None:
    lost = trials.assign(objective=trials["objective"].where(trials["number"] != 3, -9.0))
    figure = plot_history(summarize_history(lost))
    assert figure.axes[0].get_ylim()[0] > -1
    assert "1\u00a0trial below the axis" in _texts(figure)


def test_a_trial_that_scheduler_did_not_stop_makes_no_rung(trials: pd.DataFrame) -> None:
    on_request = trials.assign(reason=trials["reason"].replace("rung", "request"))
    assert "rung" not in _texts(plot_history(summarize_history(on_request)))


def test_learning_curves_put_the_best_on_top(trials: pd.DataFrame, curves: pd.DataFrame) -> None:
    summary = summarize_learning_curves(curves)
    assert summary.loc[summary["is_best"], "number"].unique().tolist() == [_best(trials)]
    assert len(summary) == 16 * EPOCHS + 8 * 2
    axes = plot_learning_curves(summary).axes[0]
    thick = max(axes.get_lines(), key=lambda line: line.get_linewidth())
    assert np.asarray(thick.get_xdata()).tolist() == list(range(1, EPOCHS + 1))
    assert axes.get_xlabel() == "epoch"


def test_a_learning_curve_is_one_line_a_trial_with_its_own_epochs(
    trials: pd.DataFrame, curves: pd.DataFrame
) -> None:
    summary = summarize_learning_curves(curves)
    drawn = [line.tolist() for lines in plot_learning_curves(summary).axes[0].collections[:2]
             for line in of_kind(LineCollection, lines).get_segments()]  # fmt: skip
    expected = [
        [[row["epoch"], row["value"]] for _, row in summary.iterrows() if row["number"] == number]
        for number in summary["number"].unique()
    ]
    assert sorted(drawn) == sorted(expected)


def test_parallel_coordinates_keep_varied_fields_knobs_first(trials: pd.DataFrame) -> None:
    summary = summarize_parallel(trials)
    fields = ["loss.lambda_non", "model.tau", "model.latent_size", "model.dropout"]
    assert list(summary.columns[6:]) == fields
    axes = plot_parallel(summary).axes[0]
    labels = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
    assert labels == [r"$\lambda_{\mathrm{non}}$", r"$\tau$", "latent size", "dropout"]


def test_slices_place_values_on_the_scale_of_their_field(trials: pd.DataFrame) -> None:
    summary = summarize_slices(trials)
    assert len(summary) == 4 * N_TRIALS
    tau = summary[summary["field"] == "model.tau"]
    values = tau["value"].astype(float)
    on_log = np.log(values / values.min()) / np.log(values.max() / values.min())
    np.testing.assert_allclose(tau["position"], on_log)
    dropout = summary[summary["field"] == "model.dropout"]
    np.testing.assert_allclose(dropout["position"], (dropout["value"].astype(float) - 0.02) / 0.46)
    sizes = summary[summary["field"] == "model.latent_size"]
    assert set(zip(sizes["value"], sizes["position"], strict=True)) == {(64, 0.0), (128, 0.5), (256, 1.0)}
    labels = [axes.get_xlabel() for axes in plot_slices(summary).axes if axes.get_xlabel()]
    assert labels == [r"$\lambda_{\mathrm{non}}$", r"$\tau$", "latent size", "dropout"]


def test_contours_are_the_kernel_mean_of_finished_trials(trials: pd.DataFrame) -> None:
    summary = summarize_contours(trials)
    pair = summary[(summary["x_field"] == "model.tau") & (summary["y_field"] == "model.dropout")]
    points = pair[(pair["kind"] == "trial") & (pair["status"] == "finished")]
    surface = pair[pair["kind"] == "surface"].dropna(subset=["objective"])
    cell = surface.iloc[len(surface) // 2]
    weights = [
        np.exp(-((cell["x"] - point.x) ** 2 + (cell["y"] - point.y) ** 2) / (2 * 0.12**2))
        for point in points.itertuples()
    ]
    assert cell["objective"] == pytest.approx(np.average(points["objective"], weights=weights))


def test_contours_show_ranges_first_and_the_strongest_of_them_foremost(trials: pd.DataFrame) -> None:
    summary = summarize_contours(trials)
    pairs = list(dict.fromkeys(zip(summary["x_field"], summary["y_field"], strict=True)))
    assert len(pairs) == 6
    assert pairs[0][0] == "model.tau"
    assert pairs[-1][1] == "model.latent_size"
    figure = plot_contours(summary)
    assert figure.axes[0].get_xlabel() == r"$\tau$"
    assert "not a measure of importance" in _texts(figure)


@pytest.mark.parametrize(
    ("summarize", "message"),
    [(summarize_parallel, "differ in 1"), (summarize_contours, "has 1 such field and 16 finished trials")],
)
def test_one_varied_field_has_no_pairs(
    trials: pd.DataFrame, summarize: Callable[..., object], message: str
) -> None:
    alike = trials.assign(**{"loss.lambda_non": 0.1, "model.dropout": 0.1, "model.latent_size": 64})
    with pytest.raises(InputError, match=message):
        summarize(alike)


def test_trials_that_are_all_alike_have_no_slices(trials: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="are all alike"):
        summarize_slices(trials[["study", "number", "status", "epoch", "objective"]])


@pytest.mark.parametrize("summarize", [summarize_history, summarize_slices, summarize_parallel])
def test_trials_without_an_objective_are_refused(
    trials: pd.DataFrame, summarize: Callable[..., object]
) -> None:
    with pytest.raises(InputError, match="every one is NaN"):
        summarize(trials.assign(objective=np.nan))


@pytest.mark.parametrize(("n_trials", "n_outside"), [(4, 0), (N_TRIALS, 8)])
def test_slices_have_room_for_their_words_where_all_stopped_trials_are_far_below(
    trials: pd.DataFrame, n_trials: int, n_outside: int
) -> None:
    """The layout would collapse on a line without a dot."""
    seen = trials.dropna(subset=["objective"]).iloc[:n_trials]
    seen.loc[seen["status"] == "stopped", "objective"] -= 1
    figure = plot_slices(summarize_slices(seen))
    assert (f"Triangles: {n_outside} trials below" in _texts(figure).replace(NO_BREAK, " ")) == (
        n_outside > 0
    )
    figure.draw_without_rendering()
    *panels, bar = figure.axes
    boxes = [present(axes.get_tightbbox()) for axes in panels if axes.get_visible()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert [float(tick).is_integer() for tick in bar.get_yticks()] == [True] * len(bar.get_yticks())


def test_learning_curves_of_trials_that_were_all_stopped_are_drawn(
    trials: pd.DataFrame, curves: pd.DataFrame
) -> None:
    stopped = curves[curves["status"] == "stopped"]
    figure = plot_learning_curves(summarize_learning_curves(stopped))
    figure.draw_without_rendering()
    assert min(present(axes.get_tightbbox()).xmin for axes in figure.axes) >= 0


@pytest.mark.parametrize(
    ("summarize", "plot"),
    [
        (summarize_history, plot_history),
        (summarize_parallel, plot_parallel),
        (summarize_slices, plot_slices),
        (summarize_contours, plot_contours),
    ],
)
def test_search_figures_are_a_page_wide_and_keep_their_words_inside(
    trials: pd.DataFrame, summarize: Callable[..., object], plot: Callable[..., Figure]
) -> None:
    figure = plot(summarize(trials))
    figure.draw_without_rendering()
    assert figure.get_figwidth() == 7.0
    panels = [present(axes.get_tightbbox()) for axes in figure.axes if axes.get_visible()]
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert not any(map(box.overlaps, panels))
