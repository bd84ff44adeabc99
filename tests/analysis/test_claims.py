from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable

from adapert.statistics.best_weight import resample_best
from analysis.claims import (
    build_claims_table,
    judge_gain,
    judge_little,
    judge_loss,
    summarize_claims,
)

NAMES = {"small": "AB", "medium": "CD", "large": "EF"}
WEIGHTS = (0.0, 0.001, 0.01, 0.1)


def _rows(
    values: Mapping[tuple[Any, str], float], n: int = 12, groups: dict[str, str] = NAMES
) -> list[dict[str, Any]]:
    """Every perturbation has its own level, shared by variants; (variant, group) adds to it."""
    return [
        {
            "variant": variant,
            "lambda_non": variant if isinstance(variant, float) else 3e-4,
            "perturbation": f"{group}{index}",
            "effect_size": group,
            "metric": "pearson_delta",
            "seed": seed,
            "value": 0.3 + 0.01 * index + gain * (1 + 0.02 * index),
        }
        for (variant, group), gain in values.items()
        for index in range(n)
        for seed in (0, 1, 2)
    ]


@pytest.fixture
def ablation(make_table: MakeTable) -> pd.DataFrame:
    losses = {"full": {}, "no_context": {"small": -0.1, "medium": -0.1, "large": -0.1}}
    losses["no_non_deg"] = {"small": -0.1, "medium": 0.1, "large": -0.001}
    return make_table(
        _rows({(name, group): of.get(group, 0.0) for name, of in losses.items() for group in NAMES}),
        study="parts",
    )


@pytest.fixture
def sensitivity(make_table: MakeTable) -> pd.DataFrame:
    best = {"small": 0.01, "medium": 0.001, "large": 0.001}
    gains = {(weight, group): 0.05 * (weight == best[group]) for weight in WEIGHTS for group in NAMES}
    gains |= {(0.1, group): -0.2 for group in NAMES}
    return make_table(_rows(gains), study="weights").astype({"variant": str})


def _verdicts(claims: pd.DataFrame) -> dict[tuple[str, str], str]:
    return {
        (claim, group): verdict for claim, group, verdict in claims[["claim", "group", "verdict"]].to_numpy()
    }


def test_claims_of_an_ablation_are_judged_by_group(ablation: pd.DataFrame) -> None:
    claims = summarize_claims(ablation, None)
    assert _verdicts(claims) == {
        ("the context helps", "small"): "supported",
        ("the context helps", "medium"): "supported",
        ("the context helps", "large"): "supported",
        ("the non-DEG loss helps", "small"): "supported",
        ("the non-DEG loss helps", "medium"): "not supported",
        ("the non-DEG loss does little", "large"): "supported",
    }
    context = claims[claims["claim"] == "the context helps"].iloc[0]
    assert context["estimate"] == pytest.approx(0.1 * (1 + 0.02 * 5.5))  # full minus without
    assert context["low"] < context["estimate"] < context["high"]


def test_the_context_is_judged_where_it_stands_alone_too(make_table: MakeTable) -> None:
    gains = {"full": 0.0, "no_context": 0.0, "context_only": -0.05, "context_only_no_context": -0.2}
    table = make_table(_rows({(name, group): gain for name, gain in gains.items() for group in NAMES}))
    claims = summarize_claims(table)
    alone = claims[claims["claim"] == "the context helps where it stands alone"]
    assert alone["group"].tolist() == list(NAMES)
    assert set(alone["verdict"]) == {"supported"}
    assert alone["estimate"].tolist() == pytest.approx([0.15 * (1 + 0.02 * 5.5)] * 3)
    # p are those of a table of these two models alone.
    own = table[table["variant"].isin(["context_only", "context_only_no_context"])]
    names = {"context_only": "full", "context_only_no_context": "no_context"}
    by_itself = summarize_claims(own.assign(variant=own["variant"].map(names)))
    assert alone["p_holm"].tolist() == by_itself["p_holm"].tolist()
    assert set(claims[claims["claim"] == "the context helps"]["verdict"]) == {"not supported"}
    without = summarize_claims(table[table["variant"] != "context_only_no_context"])
    assert "the context helps where it stands alone" not in set(without["claim"])


def test_claims_of_a_sensitivity_study_are_judged_by_group(sensitivity: pd.DataFrame) -> None:
    claims = summarize_claims(None, sensitivity)
    assert _verdicts(claims) == {
        ("lambda_non of 0.1 hurts", "small"): "supported",
        ("lambda_non of 0.1 hurts", "medium"): "supported",
        ("lambda_non of 0.1 hurts", "large"): "supported",
        ("the best lambda_non is near .01", "small"): "supported",
        ("the best lambda_non is near .01", "medium"): "not supported",
        ("the best lambda_non is smaller", "large"): "not supported",  # medium's is as small
    }
    best = claims[claims["quantity"] == "best lambda_non"]
    assert best["estimate"].tolist() == [0.01, 0.001, 0.001]


def test_each_reading_of_the_loss_is_judged_by_itself(sensitivity: pd.DataFrame) -> None:
    """To the letter no weight of the grid acts; the trials without the loss are both readings'."""
    level = sensitivity.loc[sensitivity["lambda_non"] == 0].set_index(["perturbation", "seed"])["value"]
    flat = sensitivity[sensitivity["lambda_non"] > 0].assign(non_deg_reduction="mean")
    keys = pd.MultiIndex.from_frame(flat[["perturbation", "seed"]])
    both = pd.concat([sensitivity, flat.assign(value=level.reindex(keys).to_numpy())])
    claims = summarize_claims(None, both)
    alone = summarize_claims(None, sensitivity)
    mixed = claims[claims["reading"] == "mean and sum"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mixed, alone)
    letter = _verdicts(claims[claims["reading"] == "to the letter"])
    assert {letter["lambda_non of 0.1 hurts", group] for group in NAMES} == {"not supported"}
    assert letter["the best lambda_non is near .01", "small"] == "not supported"
    assert len(claims) == 2 * len(alone)


def test_claims_of_an_ablation_name_the_full_models_reading(ablation: pd.DataFrame) -> None:
    assert set(summarize_claims(ablation)["reading"]) == {"mean and sum"}
    to_the_letter = ablation.assign(non_deg_reduction="mean")
    assert set(summarize_claims(to_the_letter)["reading"]) == {"to the letter"}


@pytest.mark.parametrize("weight", [0.0, 1e-5])
def test_a_full_model_without_the_loss_tests_no_claim_about_it(ablation: pd.DataFrame, weight: float) -> None:
    is_without = ablation["variant"] == "no_non_deg"
    near_0 = ablation.assign(lambda_non=np.where(is_without, 0.0, weight))
    claims = summarize_claims(near_0)
    of_loss = claims["claim"].str.contains("non-DEG")
    assert set(claims.loc[of_loss, "verdict"]) == {"not tested: lambda_non near 0"}
    assert set(claims.loc[~of_loss, "verdict"]) == {"supported"}
    larger = ablation.assign(lambda_non=np.where(is_without, 0.0, 3e-4))
    assert "not tested: lambda_non near 0" not in set(summarize_claims(larger)["verdict"])


def test_claims_without_their_runs_are_left_out(ablation: pd.DataFrame, sensitivity: pd.DataFrame) -> None:
    assert summarize_claims(None, None).empty
    no_context = ablation[ablation["variant"] != "no_non_deg"]
    assert set(summarize_claims(no_context, None)["claim"]) == {"the context helps"}
    assert summarize_claims(ablation[ablation["variant"] != "full"], None).empty
    no_zero = summarize_claims(None, sensitivity[sensitivity["lambda_non"] > 0])
    assert "lambda_non of 0.1 hurts" not in set(no_zero["claim"])
    of_large = summarize_claims(None, sensitivity[sensitivity["effect_size"] == "large"])
    assert set(of_large["claim"]) == {"lambda_non of 0.1 hurts"}


def test_a_single_perturbation_decides_nothing(make_table: MakeTable) -> None:
    rows = _rows({("full", "small"): 0.0, ("no_context", "small"): -0.1}, n=1, groups={"small": "A"})
    claims = summarize_claims(make_table(rows), None)
    assert claims["verdict"].tolist() == ["undecided"]
    assert claims["low"].isna().all()


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict"),
    [
        (0.01, 0.05, 0.01, "supported"),
        (0.01, 0.05, 0.20, "undecided"),
        (-0.01, 0.05, 0.01, "undecided"),
        (-0.01, 0.01, 0.01, "not supported"),
        (-0.05, -0.01, 0.01, "not supported"),
        (np.nan, np.nan, np.nan, "undecided"),
    ],
)
def test_a_gain_needs_interval_and_test_and_a_loss_is_its_mirror(
    low: float, high: float, p: float, verdict: str
) -> None:
    assert judge_gain(low, high, p) == verdict
    assert judge_loss(-high, -low, p) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.01, 0.015, "supported"),
        (-0.03, 0.01, "undecided"),
        (0.03, 0.1, "not supported"),
        (-0.1, -0.03, "not supported"),
        (np.nan, np.nan, "undecided"),
    ],
)
def test_little_is_a_test_of_equivalence(low: float, high: float, verdict: str) -> None:
    assert judge_little(low, high, 1.0) == verdict


def test_the_best_weight_is_that_of_a_plain_loop_over_resamples(make_table: MakeTable) -> None:
    generator = np.random.default_rng(3)
    rows = _rows({(weight, "small"): 0.0 for weight in WEIGHTS}, n=5, groups={"small": "A"})
    table = make_table(rows)
    table["value"] = generator.normal(size=len(table))
    drawn = resample_best(table, np.random.default_rng(0))
    values = {
        float(str(weight)): rows.pivot_table(index="seed", columns="perturbation", values="value").to_numpy()
        for weight, rows in table.groupby("lambda_non")
    }
    assert drawn[0] == max(values, key=lambda weight: values[weight].mean())
    plain = np.random.default_rng(1)
    counts = dict.fromkeys(WEIGHTS, 0)
    for _ in range(1000):
        seeds, names = plain.integers(0, 3, 3), plain.integers(0, 5, 5)
        means = {weight: table[np.ix_(seeds, names)].mean() for weight, table in values.items()}
        counts[max(means, key=lambda weight: float(means[weight]))] += 1
    for weight, count in counts.items():
        assert (drawn[1:] == weight).mean() == pytest.approx(count / 1000, abs=0.06)


def test_claims_read_as_a_table(ablation: pd.DataFrame, sensitivity: pd.DataFrame) -> None:
    table = build_claims_table(summarize_claims(ablation, sensitivity))
    text = table.to_markdown()
    assert "| the context helps | mean and sum | small | Pearson-delta | 0.111 |" in text
    assert (
        "| the best lambda_non is near .01 | mean and sum | small | Pearson-delta "
        "| 0.01 | 0.01 to 0.01 |  | supported |"
    ) in text
    assert "Undecided: the data allow both" in text


def test_small_p_and_small_losses_are_written_as_what_they_are(ablation: pd.DataFrame) -> None:
    claims = (
        summarize_claims(ablation, None)
        .iloc[:3]
        .assign(p_holm=[1e-5, 0.0123, np.nan], estimate=[-1e-4, 0.1, -0.1])
    )
    cells = build_claims_table(claims).cells
    assert cells["p"].tolist() == ["< 0.001", "0.012", ""]
    assert cells["Estimate"].tolist() == ["0.000", "0.100", "-0.100"]


def test_claims_are_of_the_overlap_that_the_figures_show(ablation: pd.DataFrame) -> None:
    overlaps = [ablation.assign(metric=name) for name in ("overlap_at_50", "rank_overlap_at_50")]
    claims = summarize_claims(pd.concat([ablation, *overlaps], ignore_index=True))
    assert set(claims["metric"]) == {"pearson_delta", "overlap_at_50"}
    of_responses = summarize_claims(pd.concat([ablation, overlaps[1]], ignore_index=True))
    assert set(of_responses["metric"]) == {"pearson_delta", "rank_overlap_at_50"}
