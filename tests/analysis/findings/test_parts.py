from collections.abc import Mapping

import pandas as pd
import pytest
import scipy.stats
from fixtures.narrowed import present
from fixtures.store import MakeTable

from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from adapert.statistics.questions import compare_variants
from analysis.figures.ablation import VARIANT_LABELS, summarize_ablation
from analysis.findings.finding import BETTER, LEVEL_WITH
from analysis.findings.parts import find_parts

GAINS = {
    "full": {},
    "no_context": {"small": -0.1, "medium": -0.05, "large": 0.001},
    "no_non_deg": {"small": -0.05, "medium": 0.001, "large": -0.001},
}
"""Variant to what it adds to each group's perturbations."""


def build(
    make_table: MakeTable, gains: Mapping[str, Mapping[str, float]] = GAINS, n: int = 12, n_seeds: int = 3
) -> pd.DataFrame:
    rows = [
        {
            "variant": variant,
            "perturbation": f"{group}{index}",
            "effect_size": group,
            "metric": "pearson_delta",
            "seed": seed,
            "value": 0.3 + 0.01 * index + of.get(group, 0.0) * (1 + 0.02 * index),
        }
        for variant, of in gains.items()
        for group in ("small", "medium", "large")
        for index in range(n)
        for seed in range(n_seeds)
    ]
    return make_table(rows, study="parts")


def test_the_part_that_is_worth_most_is_named_by_effect_size(make_table: MakeTable) -> None:
    table = build(make_table)
    finding = present(find_parts(summarize_ablation(table)))
    assert finding.certainty == SUPPORTED
    assert finding.sentence.startswith(
        "Parts of the model ('parts', Pearson-delta): the context helps most, small effects by 0.111 (95% "
    )
    assert "and medium effects by 0.055 (" in finding.sentence
    assert finding.sentence.endswith("; no part is worth 0.02 or more for large effects.")


def test_its_numbers_are_those_of_the_paired_table(make_table: MakeTable) -> None:
    table = build(make_table)
    rows = compare_variants(table).to_dict("records")
    row = next(each for each in rows if (each["variant"], each["effect_size"]) == ("no_context", "small"))
    context = next(
        each
        for each in present(find_parts(summarize_ablation(table))).estimates
        if each.of == "full minus no_context, small effects"
    )
    assert (context.value, context.low, context.high, context.p_holm) == (
        -row["difference"],
        -row["high"],
        -row["low"],
        row["p_holm"],
    )
    assert context.verdict == BETTER
    of_small = table[(table["effect_size"] == "small") & (table["seed"] == 0)]
    wide = of_small.pivot_table(index="perturbation", columns="variant", values="value")
    p = scipy.stats.wilcoxon(wide["full"] - wide["no_context"]).pvalue
    assert row["p_wilcoxon"] == pytest.approx(p)
    assert context.p_holm >= p


def test_a_part_that_does_harm_is_said_to(make_table: MakeTable) -> None:
    table = build(make_table, {"full": {}, "no_context": {"small": 0.1, "medium": 0.001, "large": 0.001}})
    sentence = present(find_parts(summarize_ablation(table))).sentence
    assert ": the context does harm, small effects by 0.111 (95% interval 0.1" in sentence


def test_one_seed_decides_nothing(make_table: MakeTable) -> None:
    finding = present(find_parts(summarize_ablation(build(make_table, n_seeds=1))))
    assert finding.certainty == UNDECIDED
    assert "undecided for small effects (largest estimate: the context, 0.111, p = " in finding.sentence


def test_three_perturbations_of_different_effects_decide_nothing(make_table: MakeTable) -> None:
    gains = {name: GAINS[name] for name in ("full", "no_context")}
    finding = present(find_parts(summarize_ablation(build(make_table, gains, n=1))))
    assert finding.certainty == UNDECIDED
    assert "undecided for small effects (largest estimate: the context, 0.100)" in finding.sentence


def test_variants_that_take_nothing_or_two_parts_away_are_left_out(make_table: MakeTable) -> None:
    gains = GAINS | {"no_context_no_non_deg": {"small": -0.3}, "ridge_text": {"small": -0.3}}
    finding = present(find_parts(summarize_ablation(build(make_table, gains)), ["no_non_deg"]))
    assert {each.of.split(",")[0] for each in finding.estimates} == {"full minus no_context"}
    assert {each.verdict for each in finding.estimates if "large" in each.of} == {LEVEL_WITH}


@pytest.mark.parametrize(
    "gains",
    [
        {"full": {}},
        {"full": {}, "mean": {"small": -0.3}, "ridge_text": {"small": -0.3}},
        {"full": {}, "with_non_deg": {"small": 0.1}, "soft_context": {}, "no_context_no_non_deg": {}},
    ],
)
def test_variants_that_lack_no_single_part_have_no_finding(
    make_table: MakeTable, gains: Mapping[str, Mapping[str, float]]
) -> None:
    assert find_parts(summarize_ablation(build(make_table, gains))) is None


def test_the_gene_s_own_part_is_called_by_the_row_of_figure_4_that_shows_it(make_table: MakeTable) -> None:
    gains = {"full": {}, "context_only": {"small": -0.1, "medium": -0.1, "large": -0.1}}
    sentence = present(find_parts(summarize_ablation(build(make_table, gains)))).sentence
    assert ": what the perturbed gene adds to the context alone helps most, small effects by" in sentence
    assert VARIANT_LABELS["context_only"].endswith(" alone")
