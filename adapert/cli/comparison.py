"""A comparison of models as tables in the terminal, 80 columns wide."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table

from adapert.comparison.summary import ALL, COMBINATION_METRICS, FEWEST_SHOWN, LABELS, MAIN_METRICS
from adapert.errors import format_count
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.pairs import FILE_MODEL, model_of, without_chance
from adapert.statistics.power import DETECTED_PER_HALF_WIDTH, FEWEST_SEEDS, POWER, warn_of_tests

if TYPE_CHECKING:
    from adapert.comparison.pair import PairComparison

MAIN_METRIC = "pearson_delta"
"""Metric whose detectable differences are shown."""

N_PAIRED_METRICS, N_FAMILY_METRICS = 3, 2
"""Columns of a table of differences, and of their ICC, so that it fits into 80 characters."""


def build_tables(summary: pd.DataFrame, split: str) -> list[Table]:
    """Build a table for all perturbations and one for each effect-size group: a row per variant.

    Args:
        summary: From `summarize_comparison`.
        split: Split that the titles name.

    Returns:
        Tables that fit into 80 columns; ``-`` where a metric has no value.
    """
    groups = {str(group): rows for group, rows in summary.groupby("effect_size", sort=False)}
    if len(groups) == 2:  # all perturbations are of one group
        groups = {ALL: groups[ALL]}
    tables = []
    for group, rows in groups.items():
        n_perturbations = format_count(int(rows["n_perturbations"].max()), f"{split} perturbation")
        title = n_perturbations if group == ALL else f"{n_perturbations} of {group} effect"
        tables.append(_build_table(title, rows, "variant", _describe_estimate))
    return tables


def build_combination_tables(combinations: pd.DataFrame, split: str) -> list[Table]:
    """Build a table for all combinations and one for each number of unseen genes: a row per variant.

    Args:
        combinations: From `summarize_combinations`.
        split: Split that the titles name.

    Returns:
        Tables that fit into 80 columns; none where there is no combination.
    """
    tables = []
    for group, rows in combinations.groupby("n_unseen_genes", sort=False):
        n_combinations = format_count(int(rows["n_perturbations"].max()), f"{split} combination")
        if group == ALL:
            title = n_combinations
        else:
            title = f"{n_combinations} with {format_count(int(str(group)), 'unseen gene')}"
        tables.append(_build_table(title, rows, "variant", _describe_estimate, heads=COMBINATION_METRICS))
    return tables


def build_paired_tables(paired: pd.DataFrame) -> list[Table]:
    """Build a table of differences for each variant: a row per reference model, over all perturbations.

    Args:
        paired: From `summarize_differences`.

    Returns:
        Tables that fit into 80 columns; none where nothing was compared.
    """
    everywhere = paired[paired["effect_size"] == ALL]
    return [
        _build_table(f"{name} minus each model", rows, "reference", _describe_difference, N_PAIRED_METRICS)
        for name, rows in everywhere.groupby("variant", sort=False)
    ]


def build_family_tables(paired: pd.DataFrame) -> list[Table]:
    """Build a table for each variant: how far its differences correlate within families of perturbations.

    Args:
        paired: From `summarize_differences`.

    Returns:
        Tables that fit into 80 columns; none where no perturbation shares its family.
    """
    everywhere = paired[(paired["effect_size"] == ALL) & paired["icc"].notna()]
    tables = []
    for name, rows in everywhere.groupby("variant", sort=False):
        title = f"{name} minus each model: ICC [interval], design effect"
        tables.append(_build_table(title, rows, "reference", _describe_family, N_FAMILY_METRICS))
    return tables


def summarize_families(paired: pd.DataFrame) -> str:
    """Say in a sentence or two what families there are among the compared perturbations; empty for none."""
    everywhere = paired[(paired["effect_size"] == ALL) & (paired["n_perturbations"] > 1)]
    if everywhere.empty:
        return ""
    n, n_families = (int(everywhere[name].max()) for name in ("n_perturbations", "n_families"))
    if n_families == n:
        return f"Each of the {n} perturbations is a family of its own."
    return (
        f"The {n} perturbations are of {n_families} {'family' if n_families == 1 else 'families'}. Where "
        "members of a family correlate, intervals and p are by family."
    )


def summarize_power(paired: pd.DataFrame, families: Sequence[str]) -> list[str]:
    """Say what difference the comparisons could have shown, and warn where no p could pass.

    Args:
        paired: From `summarize_differences`.
        families: Name of each compared perturbation's family.
    """
    rows = paired[(paired["effect_size"] == ALL) & (paired["metric"] == MAIN_METRIC)].dropna(subset=["low"])
    if rows.empty:
        return []
    detected = DETECTED_PER_HALF_WIDTH * (rows["high"] - rows["low"]) / 2
    least, most = _short(detected.min()), _short(detected.max())
    of = least if least == most else f"{least} to {most}"
    of_one = paired[(paired["variant"] == rows["variant"].iloc[0]) & (paired["metric"] == MAIN_METRIC)]
    # Where no fit has chance, further seeds would add nothing.
    is_drawn = bool({model_of(name) for name in rows["variant"]} - without_chance() - {FILE_MODEL})
    n_seeds = int(rows["n_seeds"].max()) if is_drawn else FEWEST_SEEDS
    warnings = warn_of_tests(families, n_seeds, len(of_one))
    said = (
        f"Power: differences in {MAIN_METRICS[MAIN_METRIC]} of about {of} are detected here in {POWER:.0%} "
        f"of cases, {DETECTED_PER_HALF_WIDTH:.2f} times ± of a single comparison."
    )
    return [said, *(f"Warning: {warning}" for warning in warnings)]


def build_pair_table(compared: "PairComparison") -> Table:
    """Build the table of a pair: a row a metric, and on how many perturbations each leads."""
    table = Table(box=None, pad_edge=False)
    for head in ("metric", compared.first.name, compared.second.name, "difference", "better on"):
        table.add_column(head, overflow="fold")
    for row in compared.metrics.to_dict("records"):
        difference = _describe_difference(row)
        leads = "-" if pd.isna(row["wins"]) else f"{row['wins']} of {row['n_perturbations']}"
        metric = find_metric(row["metric"]).directed_label
        table.add_row(metric, _short(row["first"]), _short(row["second"]), difference, leads)
    return table


def _build_table(
    title: str,
    rows: pd.DataFrame,
    by: str,
    describe: Callable[[dict[Hashable, Any]], str],
    n_metrics: int | None = None,
    heads: Mapping[str, str] = MAIN_METRICS,
) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("model")
    metrics = [metric for metric in heads if metric in set(rows["metric"])][:n_metrics]
    for metric in metrics:
        table.add_column(heads[metric])
    for name, of_model in rows.groupby(by, sort=False):
        cells = {row["metric"]: describe(row) for row in of_model.to_dict("records")}
        label = str(name)
        if by == "variant":
            n_seeds = int(of_model["n_seeds"].max())
            label = LABELS.get(label, label) + (f", {n_seeds} fits" if n_seeds > 1 else "")
        table.add_row(label, *(cells.get(metric, "-") for metric in metrics))
    return table


def _describe_estimate(row: dict[Hashable, Any]) -> str:
    return "-" if pd.isna(row["mean"]) else f"{_short(row['mean'])}{_describe_interval(row)}"


def _describe_difference(row: dict[Hashable, Any]) -> str:
    if pd.isna(row["difference"]):
        return "-"
    p = row["p_holm"]
    significance = "" if pd.isna(p) else " p<.001" if p < 0.001 else f" p={_short(p)}"
    sign = "+" if row["difference"] >= 0 else ""
    return f"{sign}{_short(row['difference'])}{_describe_interval(row)}{significance}"


def _describe_family(row: dict[Hashable, Any]) -> str:
    low, high = (_short(row[end]) for end in ("icc_low", "icc_high"))
    return f"{_short(row['icc'])} [{low}, {high}] {row['design_effect']:.1f}"


def _describe_interval(row: dict[Hashable, Any]) -> str:
    half_width = (row["high"] - row["low"]) / 2
    # Of very few perturbations it is as wide as the metric's range, or by chance far too narrow.
    if pd.isna(half_width) or row["n_perturbations"] < FEWEST_SHOWN:
        return ""
    return f" ±{_short(half_width)}" if half_width >= 0.0005 else " ±<.001"


def _short(value: float) -> str:
    """Write three decimals as tables in papers do: ``.451``, ``-.020``, ``1.000``."""
    value = round(value, 3) + 0.0  # nothing is written as -.000
    # Once only: the zeros behind the point stay.
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"
