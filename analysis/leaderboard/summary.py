"""From a comparison's long table to a leaderboard: estimates, ranks, and paired differences."""

from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from adapert.data.schema import EFFECT_SIZES
from adapert.errors import InputError
from adapert.results.study import StudyResults
from adapert.statistics.combinations import pool_unseen_genes
from adapert.statistics.estimates import summarize_by
from adapert.statistics.pairs import ALL, pool_effect_sizes
from adapert.statistics.questions import compare_systems
from adapert.statistics.ranks import rank_variants
from adapert.study.plan.peers import DEFAULT
from analysis.leaderboard.load import FACTS, load_leaderboard
from analysis.leaderboard.reads import GROUPS

LEADERBOARD_METRICS = (
    *("pearson_delta", "pds", "rank_overlap_at_50"),
    *("rmse_top_20_degs", "l2_top_1000", "collapse_ratio"),
)
"""Metrics in their order; of data without control expression there is no L2."""

RANKED_BY = "pearson_delta"

COMPARED_METRICS = ("pearson_delta", "pds")
"""Metrics with paired differences: those of all would take minutes."""

REFERENCES = ("adapert", "kernel_loo")
"""Systems that every other is compared with."""

_COMPARED = (
    *("difference", "low", "high", "p", "p_holm", "wins", "ties", "losses"),
    *("low_unrelated", "high_unrelated", "n_families", "icc", "icc_low", "icc_high", "design_effect"),
)


_SUMMARIES: "WeakKeyDictionary[StudyResults, pd.DataFrame]" = WeakKeyDictionary()
"""Of studies as they were read: a figure, tables and a page need the same, which takes half a minute."""


def load_summary(study: StudyResults) -> pd.DataFrame:
    """Load and summarise a comparison, once for as long as its results are at hand.

    Returns:
        As `summarize_leaderboard`, split after split; not to be changed.

    Raises:
        NothingToShowError: No finished trial.
        InputError: A damaged table, or none of the metrics.
    """
    if study not in _SUMMARIES:
        by_split = load_leaderboard(study).groupby("split", observed=True)
        _SUMMARIES[study] = pd.concat([summarize_leaderboard(rows) for _, rows in by_split])
    return _SUMMARIES[study]


def summarize_leaderboard(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise a comparison of systems.

    Ranks and differences are of one row a system: its tuned form, or the only one. Ties in a rank share the
    smaller.

    Args:
        frame: From `analysis.leaderboard.load.load_leaderboard`, of one split.

    Returns:
        A row an effect size (all first), variant and metric: study, split, effect_size, `FACTS`, metric, the
        estimates of `summarize_by`, rank, rank_low and rank_high (by Pearson-delta), and for each of
        `REFERENCES` that is there REFERENCE_difference, _low, _high, _p, _p_holm, _wins, _ties, _losses, and
        what `summarize_paired` says of families. NaN where there is none. Within an effect size by group of
        what is read, then by rank.

    Raises:
        InputError: The frame has none of the metrics.
    """
    selected = frame[frame["metric"].isin(LEADERBOARD_METRICS)]
    if selected.empty:
        raise InputError(
            f"A leaderboard shows {', '.join(LEADERBOARD_METRICS)}, but the long table has no row of any of "
            "them."
        )
    facts = selected[["study", "split", *FACTS]].drop_duplicates("variant")
    pooled = pool_effect_sizes(selected, ["effect_size"])
    summary = summarize_by(pooled, ["effect_size", "variant"]).merge(facts, on="variant")
    ranked = selected[selected["form"] != DEFAULT]
    keys = ["effect_size", "variant", "metric"]
    of_metric = pool_effect_sizes(ranked[ranked["metric"] == RANKED_BY], ["effect_size"])
    summary = summary.merge(_rank(of_metric, "effect_size"), on=keys, how="left")
    for reference in REFERENCES:
        compared = _compare(ranked, reference)
        if compared is not None:
            summary = summary.merge(compared, on=keys, how="left")
    return _sort(summary)


def load_combinations(study: StudyResults) -> pd.DataFrame:
    """Load and summarise what a comparison says of combinations, as `load_summary` does the whole."""
    by_split = load_leaderboard(study).groupby("split", observed=True)
    return pd.concat([rank_combinations(rows) for _, rows in by_split])


def rank_combinations(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank systems on combinations, by how many of their genes no training perturbation targeted.

    Args:
        frame: As in `summarize_leaderboard`.

    Returns:
        A row a number of unseen genes (as text, all first) and system, in its tuned form or the only one:
        study, split, n_unseen_genes, `FACTS`, the estimates of `summarize_by`, rank, rank_low and rank_high.
        Without rows where no perturbation is a combination.
    """
    ranked = frame[(frame["metric"] == RANKED_BY) & (frame["form"] != DEFAULT)]
    pooled = pool_unseen_genes(ranked)
    keys = ["n_unseen_genes", "variant", "metric"]
    summary = summarize_by(pooled, keys[:2]).merge(_rank(pooled, keys[0]), on=keys, how="left")
    summary = summary.merge(ranked[["study", "split", *FACTS]].drop_duplicates("variant"), on="variant")
    group, place = summary["group"].map(GROUPS.index), summary["rank"].fillna(np.inf)
    is_part = summary["n_unseen_genes"] != ALL
    order = pd.DataFrame({"part": is_part, "n": summary["n_unseen_genes"], "group": group, "rank": place})
    ordered = summary.loc[order.sort_values([*order], kind="stable").index].reset_index(drop=True)
    first = ["study", "split", "n_unseen_genes", *FACTS, "metric"]
    return ordered[[*first, *(name for name in ordered if name not in first)]]


def _rank(pooled: pd.DataFrame, key: str) -> pd.DataFrame:
    """Rank variants in each group of a long table of one metric."""
    tables = [
        rank_variants(rows).assign(**{key: group, "metric": RANKED_BY})
        for group, rows in pooled.groupby(key, observed=True)
    ]
    columns = [key, "metric", "variant", "rank", "rank_low", "rank_high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _compare(frame: pd.DataFrame, reference: str) -> pd.DataFrame | None:
    of_reference = frame.loc[frame["system"] == reference, "variant"].unique()
    if len(of_reference) != 1 or frame["variant"].nunique() < 2:
        return None
    paired = compare_systems(frame[frame["metric"].isin(COMPARED_METRICS)], str(of_reference[0]))
    named = {column: f"{reference}_{column}" for column in _COMPARED}
    return paired[["effect_size", "variant", "metric", *_COMPARED]].rename(columns=named)


def _sort(summary: pd.DataFrame) -> pd.DataFrame:
    # A system's rows stand where its rank is; one without any is last of its group.
    place = summary.groupby(["effect_size", "system"])["rank"].transform("min").fillna(np.inf)
    # A search may drop a source: both forms stand where the tuned one belongs.
    best = summary[summary["form"] != DEFAULT].drop_duplicates("system").set_index("system")["group"]
    group = summary["system"].map(best).fillna(summary["group"])
    keys = pd.DataFrame(
        {
            "size": summary["effect_size"].map([ALL, *EFFECT_SIZES].index),
            "group": group.map(GROUPS.index),
            "place": place,
            "system": summary["system"],
            "is_default": summary["form"] == DEFAULT,
        }
    )
    ordered = summary.loc[keys.sort_values([*map(str, keys)], kind="stable").index].reset_index(drop=True)
    first = ["study", "split", "effect_size", *FACTS, "metric"]
    return ordered[[*first, *(name for name in ordered if name not in first)]]
