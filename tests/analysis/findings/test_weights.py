from typing import Any

import pandas as pd
from fixtures.store import MakeTable

from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from analysis.claims import BEST, summarize_claims
from analysis.figures.sensitivity import summarize_sensitivity
from analysis.findings.finding import Finding
from analysis.findings.weights import find_weights

WEIGHTS = (0.0, 0.001, 0.01, 0.1)
BEST_OF = {"small": 0.01, "medium": 0.001, "large": 0.0}


def build(make_table: MakeTable, n_seeds: int = 3, n: int = 12, reduction: str = "sum") -> pd.DataFrame:
    """Every group is best at its own weight; .1 ruins small and medium effects."""
    rows: list[dict[str, Any]] = [
        {
            "variant": f"lambda_non={weight:g}",
            "lambda_non": weight,
            "perturbation": f"{group}{index}",
            "effect_size": group,
            "metric": "pearson_delta",
            "seed": seed,
            "value": 0.3
            + 0.01 * index
            + (0.05 * (weight == best) - 0.2 * (weight == 0.1 and group != "large")) * (1 + 0.02 * index),
        }
        for weight in WEIGHTS
        for group, best in BEST_OF.items()
        for index in range(n)
        for seed in range(n_seeds)
    ]
    return make_table(rows, study="weights", non_deg_reduction=reduction)


def find(table: pd.DataFrame) -> Finding:
    return find_weights(summarize_sensitivity(table), summarize_claims(sensitivity=table))


def test_best_and_harmful_weights_are_named_by_effect_size(make_table: MakeTable) -> None:
    finding = find(build(make_table))
    assert finding.certainty == SUPPORTED
    assert finding.sentence == (
        "lambda_non ('weights', Pearson-delta): read as 'mean and sum', it is best at 0.01 for small effects "
        "(0.01 to 0.01), 0.001 for medium effects (0.001 to 0.001) and 0 for large effects (0 to 0), and it "
        "hurts large effects from 0.001 and small and medium effects at 0.1."
    )


def test_intervals_are_those_of_the_claims(make_table: MakeTable) -> None:
    table = build(make_table)
    claims = summarize_claims(sensitivity=table)
    bounds = claims[claims["quantity"] == BEST].set_index("group")[["estimate", "low", "high"]]
    found = {each.of: (each.value, each.low, each.high) for each in find(table).estimates}
    for group in BEST_OF:
        assert found[f"best lambda_non, {group} effects"] == tuple(bounds.loc[group])


def test_each_reading_has_its_own_answer(make_table: MakeTable) -> None:
    flat = build(make_table, reduction="mean").query("lambda_non > 0")
    level = build(make_table).query("lambda_non == 0").set_index(["perturbation", "seed"])["value"]
    keys = pd.MultiIndex.from_frame(flat[["perturbation", "seed"]])
    table = pd.concat([build(make_table), flat.assign(value=level.reindex(keys).to_numpy())])
    sentence = find(table).sentence
    assert "read as 'mean and sum', it is best at 0.01 for small effects" in sentence
    assert sentence.endswith(", and no weight changes anything by 0.02.")


def test_one_seed_decides_nothing(make_table: MakeTable) -> None:
    finding = find(build(make_table, n_seeds=1))
    assert finding.certainty == UNDECIDED
    assert finding.sentence.endswith(
        "the best is undecided for small, medium and large effects, and no weight is decided to hurt."
    )
