"""Lists of metrics that are shown, ranked by or tracked name metrics of the catalogue, as it calls them."""

import re
from collections.abc import Sequence

import pytest

from adapert.comparison import summary
from adapert.evaluation.catalogue import METRICS, metrics_at_end, metrics_of_epochs
from adapert.records import OBJECTIVE
from adapert.results import load
from adapert.selection import rank as selection
from adapert.study.engine.reports import REPORTED
from adapert.tracking.views import HYPERPARAMETERS, build_widths
from analysis import claims
from analysis.figures import ablation, ablation_path, leaderboard, search, sensitivity
from analysis.leaderboard import summary as systems
from analysis.report import results
from analysis.tables import effect_sizes, performance


@pytest.mark.parametrize(
    "listed",
    [
        selection.METRICS,
        claims.CLAIM_METRICS,
        summary.SUMMARY_METRICS,
        summary.PAIRED_METRICS,
        ablation.ABLATION_METRICS,
        ablation_path.PATH_METRICS,
        sensitivity.SENSITIVITY_METRICS,
        leaderboard.DRAWN_METRICS,
        systems.LEADERBOARD_METRICS,
        systems.COMPARED_METRICS,
        (*performance.GLOBAL_METRICS, performance.POOLED),
        performance.DE_METRICS,
        [*performance.STAND_INS, *performance.STAND_INS.values()],
        [effect_sizes.DES, effect_sizes.RANK_OVERLAP],
        [load.CURVE_METRIC, ablation_path.CHOOSES],
    ],
)
def test_a_list_names_metrics_of_the_catalogue(listed: Sequence[str] | dict[str, str]) -> None:
    assert set(listed) <= METRICS.keys()


def test_what_is_tracked_of_the_best_epoch_is_a_metric() -> None:
    best = {name.removeprefix("best_") for name in REPORTED if name.startswith("best_")} - {"epoch"}
    assert best == {*metrics_of_epochs(), *metrics_at_end()}
    assert set(selection.METRICS) <= best
    shown = build_widths(HYPERPARAMETERS)
    columns = [match[1] for column in shown if (match := re.fullmatch(r"metrics\.`best_(\w+)`", column))]
    assert set(columns) <= best
    assert OBJECTIVE.removeprefix("best_") in best


def test_configs_are_ranked_by_metrics_with_a_direction() -> None:
    assert all(METRICS[name].better != "neither" for name in selection.METRICS)
    assert {METRICS[name].better for name in selection.FRONT} == {"larger"}


def test_the_page_and_the_terminal_call_metrics_as_figures_do() -> None:
    assert {name: results.METRICS[name].label for name in ("pearson_delta", "pds")} == {
        name: METRICS[name].label for name in ("pearson_delta", "pds")
    }
    assert dict(summary.MAIN_METRICS) == {name: METRICS[name].label for name in summary.MAIN_METRICS}
    assert f"validation {METRICS['pearson_delta'].directed_label}" == search.OBJECTIVE_LABEL
    assert selection.describe_objective("overlap_at_50") == METRICS["overlap_at_50"].label
