import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable
from scipy import stats

from adapert.statistics.source_worth import ALONE, BESIDE, Pair, compare_sources, pair_sources

VARIANTS = {
    "full": frozenset({"text", "string"}),
    "text": frozenset({"text"}),
    "string": frozenset({"string"}),
    "none": frozenset[str](),
}


def test_each_source_is_paired_alone_and_beside_the_others() -> None:
    assert pair_sources(VARIANTS) == [
        Pair("text", ALONE, "text", "none"),
        Pair("text", BESIDE, "full", "string"),
        Pair("string", ALONE, "string", "none"),
        Pair("string", BESIDE, "full", "text"),
    ]


def test_a_second_network_of_a_model_of_one_stands_beside_the_embeddings() -> None:
    sources = {
        "full": frozenset({"text", "string"}),
        "text_and_go": frozenset({"text", "go"}),
        "text": frozenset({"text"}),
        "string": frozenset({"string"}),
        "go": frozenset({"go"}),
        "none": frozenset[str](),
    }
    beside = {pair.source: pair for pair in pair_sources(sources) if pair.role == BESIDE}
    assert beside["go"] == Pair("go", BESIDE, "text_and_go", "text")
    assert beside["text"] == Pair("text", BESIDE, "full", "string")


def test_a_single_source_is_beside_nothing() -> None:
    assert pair_sources({"full": frozenset({"text"}), "none": frozenset()}) == [
        Pair("text", ALONE, "full", "none")
    ]


def test_what_was_not_tried_is_not_paired() -> None:
    assert pair_sources({"full": frozenset({"text", "string"}), "string": frozenset({"string"})}) == [
        Pair("text", BESIDE, "full", "string")
    ]
    assert pair_sources({}) == []


@pytest.fixture
def table(make_table: MakeTable) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    levels = {"full": 0.5, "text": 0.48, "string": 0.4, "none": 0.3}
    return make_table(
        {"variant": variant, "perturbation": f"{group}{n}", "effect_size": group, "metric": metric,
         "value": level + generator.normal(0, 0.05)}
        for variant, level in levels.items()
        for group in ("small", "large")
        for n in range(12)
        for metric in ("pearson_delta", "pds")
    )  # fmt: skip


def test_differences_and_their_family_are_as_scipy_and_a_plain_loop_have_them(table: pd.DataFrame) -> None:
    worth = compare_sources(table, VARIANTS)
    assert len(worth) == 4 * 3 * 2
    for metric in ("pearson_delta", "pds"):
        wide = table[table["metric"] == metric].pivot_table(
            index=["effect_size", "perturbation"], columns="variant", values="value"
        )
        differences = {
            (pair.source, pair.role, group): rows[pair.variant] - rows[pair.reference]
            for pair in pair_sources(VARIANTS)
            for group, rows in [("all", wide), *((name, wide.loc[name]) for name in ("small", "large"))]
        }
        p = {key: stats.wilcoxon(difference).pvalue for key, difference in differences.items()}
        rows = worth[worth["metric"] == metric].to_dict("records")
        found = {(row["source"], row["role"], row["effect_size"]): row for row in rows}
        worst = 0.0
        for place, key in enumerate(sorted(p, key=p.__getitem__)):
            worst = max(worst, min(1.0, p[key] * (len(p) - place)))
            row, mean = found[key], float(differences[key].mean())
            assert row["p_holm"] == pytest.approx(worst)
            assert row["difference"] == pytest.approx(mean)
            assert row["low"] < mean < row["high"]
            assert row["wins"] == (differences[key] > 0).sum()


def test_a_frame_without_a_pair_has_no_row(table: pd.DataFrame) -> None:
    assert compare_sources(table[table["variant"] == "full"], {"full": VARIANTS["full"]}).empty
