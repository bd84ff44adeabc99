from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable
from scipy import stats

from adapert.comparison.summary import PAIRED_CAPTION, summarize_differences
from adapert.statistics.questions import (
    MODELS,
    VARIANTS,
    WEIGHTS,
    Question,
    compare_models,
    compare_noise,
    compare_two_models,
    compare_variants,
    compare_weights,
    compare_with_best,
    name_noise,
    read_noise,
)
from analysis.claims import build_claims_table, summarize_claims
from analysis.figures.ablation import plot_ablation, summarize_ablation
from analysis.figures.sensitivity import plot_sensitivity, summarize_sensitivity
from analysis.report.effects import build_paired_table
from analysis.tables.effect_sizes import build_effect_size_table, summarize_improvement

GROUPS = ("small", "medium", "large")
METRICS = ("pearson_delta", "pds", "rank_overlap_at_N")


def build_frame(
    make_table: Callable[..., pd.DataFrame], levels: dict[str, float], weights: dict[str, float] | None = None
) -> pd.DataFrame:
    """One seed; 12 perturbations a group, each with noise of its own around its variant's level."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "variant": variant,
            "lambda_non": (weights or {}).get(variant, 3e-4),
            "perturbation": f"{group}{number}",
            "effect_size": group,
            "metric": metric,
            "value": level + generator.normal(0, 0.05),
        }
        for variant, level in levels.items()
        for group in GROUPS
        for number in range(12)
        for metric in METRICS
    ]
    return make_table(rows)


def adjust_by_hand(
    frame: pd.DataFrame, reference: str, metric: str, groups: tuple[str, ...] = ("all", *GROUPS)
) -> dict[tuple[str, str], float]:
    """Step down through `scipy.stats.wilcoxon`'s p of every variant and group, and of all groups together."""
    wide = frame[frame["metric"] == metric].pivot_table(
        index=["effect_size", "perturbation"], columns="variant", values="value"
    )
    p = {
        (group, variant): stats.wilcoxon(rows[variant] - rows[reference]).pvalue
        for group, rows in [(name, wide if name == "all" else wide.loc[name]) for name in groups]
        for variant in wide.columns.astype(str)
        if variant != reference
    }
    adjusted: dict[tuple[str, str], float] = {}
    worst = 0.0
    for place, key in enumerate(sorted(p, key=p.__getitem__)):
        worst = max(worst, min(1.0, p[key] * (len(p) - place)))
        adjusted[key] = worst
    return adjusted


@pytest.fixture(scope="module")
def ablation(make_table: MakeTable) -> pd.DataFrame:
    """With variants that no claim is about: they belong to the test family all the same."""
    levels = {"full": 0.5, "no_context": 0.43, "no_non_deg": 0.44, "no_graph": 0.47, "mean": 0.3}
    return build_frame(make_table, levels)


@pytest.fixture(scope="module")
def sensitivity(make_table: MakeTable) -> pd.DataFrame:
    weights = {"a": 0.0, "b": 0.001, "c": 0.01, "d": 0.1}
    return build_frame(make_table, {"a": 0.5, "b": 0.52, "c": 0.53, "d": 0.44}, weights)


@pytest.fixture(scope="module")
def evaluation(make_table: MakeTable) -> pd.DataFrame:
    levels = {"mean": 0.4, "ridge_text": 0.46, "ridge_both": 0.47, "adapert": 0.5, "adapert_ensemble": 0.52}
    return build_frame(make_table, {**levels, "split_half": 0.9})


@pytest.fixture(scope="module")
def ablation_figure(ablation: pd.DataFrame) -> pd.DataFrame:
    """What Figure 4 shows, of every metric; read-only, as all of these."""
    return summarize_ablation(ablation)


@pytest.fixture(scope="module")
def sensitivity_figure(sensitivity: pd.DataFrame) -> pd.DataFrame:
    return summarize_sensitivity(sensitivity)


@pytest.fixture(scope="module")
def claims(ablation: pd.DataFrame, sensitivity: pd.DataFrame) -> pd.DataFrame:
    return summarize_claims(ablation, sensitivity)


@pytest.fixture(scope="module")
def differences(evaluation: pd.DataFrame) -> pd.DataFrame:
    return summarize_differences(evaluation)


def tabulate(paired: pd.DataFrame, question: Question) -> pd.DataFrame:
    """The report's table of paired differences, with exact values."""
    table = build_paired_table(paired, "", "", question)
    heads = [column.label for column in table.columns]
    return pd.DataFrame([[cell.order for cell in row] for row in table.rows], columns=heads)


@pytest.mark.parametrize("metric", ["pearson_delta", "pds"])
def test_an_ablations_p_is_the_same_in_figure_claims_and_report(
    ablation: pd.DataFrame, ablation_figure: pd.DataFrame, claims: pd.DataFrame, metric: str
) -> None:
    expected = adjust_by_hand(ablation, "full", metric)
    figure = ablation_figure.set_index(["metric", "effect_size", "variant"])
    claims = claims.set_index(["metric", "group", "claim"])
    report = tabulate(compare_variants(ablation[ablation["metric"] == metric]), VARIANTS)
    p_holm = report.set_index(["effect size", "variant"])["p, Holm"].astype(float)
    assert p_holm.to_dict() == pytest.approx(expected)
    for group in GROUPS:
        p = expected[group, "no_context"]
        assert figure.loc[(metric, group, "no_context"), "p_holm"] == pytest.approx(p)
        assert claims.loc[(metric, group, "the context helps"), "p_holm"] == pytest.approx(p)


@pytest.mark.parametrize("metric", ["pearson_delta", "pds"])
def test_a_weights_p_is_the_same_in_figure_and_claims(
    sensitivity: pd.DataFrame, sensitivity_figure: pd.DataFrame, claims: pd.DataFrame, metric: str
) -> None:
    expected = adjust_by_hand(sensitivity, "a", metric)
    figure = sensitivity_figure.set_index(["metric", "effect_size", "lambda_non"])
    claims = claims.set_index(["metric", "group", "claim"])
    for group in GROUPS:
        p = expected[group, "d"]
        assert figure.loc[(metric, group, 0.1), "p_holm"] == pytest.approx(p)
        assert claims.loc[(metric, group, "lambda_non of 0.1 hurts"), "p_holm"] == pytest.approx(p)


@pytest.mark.parametrize("metric", ["pearson_delta", "pds"])
def test_a_models_p_is_the_same_in_evaluation_report_and_table_3(
    evaluation: pd.DataFrame, differences: pd.DataFrame, metric: str
) -> None:
    is_asked = evaluation["variant"].isin(["mean", "ridge_text", "ridge_both", "adapert"])
    expected = adjust_by_hand(evaluation[is_asked], "adapert", metric)
    own = differences[(differences["variant"] == "adapert") & (differences["metric"] == metric)]
    assert own.set_index(["effect_size", "reference"])["p_holm"].to_dict() == pytest.approx(expected)
    report = tabulate(own, MODELS).set_index(["effect size", "reference"])["p, Holm"].astype(float)
    assert report.to_dict() == pytest.approx(expected)
    table = summarize_improvement(evaluation, "adapert", "ridge_both")
    table_3 = table[table["metric"] == metric].set_index("effect_size")["p_holm"]
    assert table_3.to_dict() == pytest.approx({name: expected[name, "ridge_both"] for name in table_3.index})


def test_a_supported_gain_has_its_mark(ablation: pd.DataFrame) -> None:
    two_seeds = pd.concat([ablation, ablation.assign(seed=1)])
    claims = summarize_claims(two_seeds, None)
    figure = summarize_ablation(two_seeds).set_index(["metric", "effect_size", "variant"])
    helps = claims[claims["claim"] == "the context helps"]
    assert {"supported", "undecided"} <= set(helps["verdict"])
    for key in helps.loc[helps["verdict"] == "supported", ["metric", "group"]].to_numpy().tolist():
        assert figure["is_different"][*key, "no_context"]


def test_metrics_and_other_models_beside_it_leave_a_test_family_as_it_is(evaluation: pd.DataFrame) -> None:
    whole = compare_models(evaluation)
    is_alone = evaluation["metric"].eq("pds") & evaluation["variant"].ne("adapert_ensemble")
    alone = compare_models(evaluation[is_alone])
    same = whole[whole["metric"].eq("pds") & whole["variant"].eq("adapert")]
    pd.testing.assert_frame_equal(same.reset_index(drop=True), alone)


def test_two_models_outside_any_test_family_are_their_own(evaluation: pd.DataFrame) -> None:
    rows = compare_two_models(evaluation, "adapert_ensemble", "adapert")
    assert set(rows["reference"]) == {"adapert"}
    expected = adjust_by_hand(
        evaluation[evaluation["variant"].isin(["adapert", "adapert_ensemble"])], "adapert", "pds"
    )
    own = rows[rows["metric"] == "pds"].set_index("effect_size")["p_holm"]
    assert own.to_dict() == pytest.approx({group: p for (group, _), p in expected.items()})


def test_noise_is_one_test_family_over_systems_each_against_itself(make_table: MakeTable) -> None:
    levels = {
        "adapert": 0.5,
        "adapert:kept=0.5": 0.45,
        "app": 0.3,
        "app:kept=0.5": 0.29,
        "app:added=0.1": 0.3,
    }
    compared = compare_noise(build_frame(make_table, levels))
    assert set(compared["variant"]) == {name for name in levels if ":" in name}
    of_metric = compared[compared["metric"] == "pds"]
    assert len(of_metric) == 3
    p = of_metric["p"].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(of_metric["p_holm"], adjust_holm(p))
    differences = of_metric.set_index("variant")["difference"]
    assert differences["adapert:kept=0.5"] == pytest.approx(-0.05, abs=0.03)


def adjust_holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down, from its definition."""
    order = np.argsort(p)
    steps = [min(1.0, (len(p) - place) * p[row]) for place, row in enumerate(order)]
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


@pytest.mark.parametrize(("noise", "fraction"), [("kept", 0.75), ("added", 0.25), ("rewired", 1.0)])
def test_the_name_of_a_dose_is_read_again(noise: str, fraction: float) -> None:
    assert read_noise(name_noise("app_own_gene", noise, fraction)) == ("app_own_gene", noise, fraction)
    assert read_noise("app_own_gene")[:2] == ("app_own_gene", "")


def test_one_system_alone_has_no_noise_to_compare(make_table: MakeTable) -> None:
    assert compare_noise(build_frame(make_table, {"adapert": 0.5})).empty
    assert compare_noise(build_frame(make_table, {"adapert:kept=0.5": 0.5})).empty


def test_each_group_and_metric_has_a_best_of_its_own_and_groups_are_corrected_by_themselves(
    ablation: pd.DataFrame,
) -> None:
    errors = ablation[ablation["metric"] == "pds"].assign(metric="mse")
    table = compare_with_best(pd.concat([ablation[ablation["metric"] == "pds"], errors]))
    best = table.groupby(["metric", "effect_size"])["reference"].unique().map(list)
    for metric, name in (("pds", "full"), ("mse", "mean")):  # of an error, the smallest
        assert set(map(tuple, best[metric])) == {(name,)}
        rows = table[table["metric"] == metric].set_index(["effect_size", "variant"])["p_holm"]
        by_hand = adjust_by_hand(ablation, name, "pds", ("all",)) | adjust_by_hand(
            ablation, name, "pds", GROUPS
        )
        assert rows.to_dict() == pytest.approx(by_hand)


def test_a_metric_without_a_direction_and_a_system_alone_have_no_best(ablation: pd.DataFrame) -> None:
    rows = ablation[ablation["metric"] == "pds"]
    assert compare_with_best(rows.assign(metric="collapse_ratio")).empty
    assert compare_with_best(rows[rows["variant"] == "full"]).empty


@pytest.mark.parametrize("compare", [compare_variants, compare_weights])
def test_nothing_to_compare_with_has_no_row(
    make_table: MakeTable, compare: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    alone = build_frame(make_table, {"no_context": 0.5})
    assert compare(alone).empty
    assert {"effect_size", "variant", "metric", "p_holm"} <= set(compare(alone).columns)


def test_every_caption_names_its_test_family(
    ablation: pd.DataFrame,
    ablation_figure: pd.DataFrame,
    sensitivity_figure: pd.DataFrame,
    claims: pd.DataFrame,
    evaluation: pd.DataFrame,
) -> None:
    caption = build_claims_table(claims).caption
    assert VARIANTS.tests in caption
    assert WEIGHTS.tests in caption
    paired = compare_variants(ablation)
    for question, figure in [
        (VARIANTS, plot_ablation(ablation_figure)),
        (WEIGHTS, plot_sensitivity(sensitivity_figure)),
    ]:
        caption = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
        assert question.rule in caption
        assert question.rule in build_paired_table(paired, "", "", question).note
    record = {"opened": {"split": "test", "data_fingerprint": "f00", "n_perturbations": 36}}
    table = build_effect_size_table(evaluation, record)
    assert table is not None
    assert MODELS.rule in table.caption
    assert MODELS.rule in PAIRED_CAPTION
