"""Compared models: the long table of a comparison as estimates, and the folder it is kept in."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.csv_files import write_csv
from adapert.data.schema import EFFECT_SIZES
from adapert.errors import InputError, name_some
from adapert.evaluation.catalogue import check_metrics, find_metric
from adapert.files import parse_json, whole_directory
from adapert.records import LONG_COLUMNS
from adapert.statistics.combinations import pool_unseen_genes
from adapert.statistics.estimates import CONFIDENCE, summarize_by
from adapert.statistics.pairs import ALL as ALL
from adapert.statistics.pairs import pool_effect_sizes
from adapert.statistics.questions import MODELS, compare_models

FEWEST_SHOWN = 4
"""Perturbations without which no ± is shown: of fewer it is as wide as the metric, or far too narrow."""

INTERVAL_CAPTION = (
    f"± is half the width of the mean's {CONFIDENCE:.0%} interval: bootstrap of families of perturbations, "
    f"with the variance between fits; none below {FEWEST_SHOWN} perturbations."
)

PDS_CAPTION = "Among n perturbations, the same prediction for all has a PDS of .5 + 1/(2n)."

CAPTION = f"{INTERVAL_CAPTION} {PDS_CAPTION}"

PAIRED_CAPTION = (
    f"Paired by perturbation: mean difference, ± half its {CONFIDENCE:.0%} interval, and p ({MODELS.rule})."
)

MAIN_METRICS = {
    metric: find_metric(metric).label
    for metric in ("pearson_delta", "pds", "rank_overlap_at_50", "overlap_at_50")
}
"""Metric to its column's head, in their order; metrics that the data do not have get no column."""

SUMMARY_METRICS = (*MAIN_METRICS, "pearson_delta_pooled")
"""Metrics of `summarize_comparison`: for the last, cell-eval's Pearson-delta, a terminal has no room."""

COMBINATION_METRICS = {
    "pearson_delta": find_metric("pearson_delta").label,
    "rmse_top_10_degs": "RMSE@10",
    "rmse_top_20_degs": "RMSE@20",
    "l2_top_1000": "L2@1000",
}
"""Metric to its column's head where combinations are shown: what papers report of them, and Pearson-delta."""

COMBINATIONS_CAPTION = (
    "RMSE@k: over the k true DEGs of largest change, or all where there are fewer. L2@1000: over the 1,000 "
    "genes of highest control expression, or all. Of both, smaller is better. Unseen: in no training "
    "perturbation."
)

SCORED_MEAN = "mean:scored"
"""Variant: the mean change of the training perturbations of scored data that are not the models' own."""

LABELS = {
    SCORED_MEAN: "mean of scored data",
    "split_half": "ceiling: split halves",
    "resampled": "ceiling: resampled",
}
"""Variants that are none of the compared models; any other row has its variant's name."""

PAIRED_METRICS = (*MAIN_METRICS, "retrieval", "centroid_pearson", "mse", "collapse_ratio")
"""Metrics of `summarize_differences`: all would take a minute on a slow core."""

COMBINATIONS_FILE = "combinations.csv"
"""In the folder of an evaluation of combinations."""

TABLE_FILE, RECORD_FILE = "per_perturbation.parquet", "evaluation.json"
"""Files of an evaluation's folder."""

_GROUPS = (ALL, *EFFECT_SIZES)


def summarize_comparison(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by effect size and variant.

    Returns:
        effect_size (`ALL` first), variant (in the frame's order), metric (of `SUMMARY_METRICS`) and the
        estimates of `summarize_by`.
    """
    selected = frame[frame["metric"].isin(SUMMARY_METRICS)]
    summary = summarize_by(pool_effect_sizes(selected, ["effect_size"]), ["effect_size", "variant"])
    variants = list(dict.fromkeys(frame["variant"]))
    orders = {"effect_size": _GROUPS, "variant": variants, "metric": SUMMARY_METRICS}
    return _sort_as_listed(summary, orders)


def summarize_combinations(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table's combinations by number of unseen genes and variant.

    Returns:
        n_unseen_genes (as text, `ALL` first; see `pool_unseen_genes`), variant (in the frame's order), metric
        (of `COMBINATION_METRICS`) and the estimates of `summarize_by`; without rows where no perturbation is
        a combination.
    """
    selected = pool_unseen_genes(frame[frame["metric"].isin(list(COMBINATION_METRICS))])
    summary = summarize_by(selected, ["n_unseen_genes", "variant"])
    orders = {
        "n_unseen_genes": (ALL, *sorted(set(summary["n_unseen_genes"]) - {ALL})),
        "variant": list(dict.fromkeys(frame["variant"])),
        "metric": list(COMBINATION_METRICS),
    }
    return _sort_as_listed(summary, orders)


def summarize_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare each model that has chance, and each ensemble, with every reference model.

    Returns:
        `compare_models` for `PAIRED_METRICS`, in the order in which tables show it; without rows where the
        frame lacks either side.
    """
    variants = list(dict.fromkeys(frame["variant"]))
    orders = {"variant": variants, "effect_size": _GROUPS, "metric": PAIRED_METRICS}
    compared = compare_models(frame[frame["metric"].isin(PAIRED_METRICS)])
    return _sort_as_listed(compared, {**orders, "reference": variants})


def _sort_as_listed(frame: pd.DataFrame, orders: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return frame.sort_values(
        list(orders), key=lambda column: column.map(orders[str(column.name)].index), ignore_index=True
    )


def write_comparison(
    directory: Path,
    frame: pd.DataFrame,
    summary: pd.DataFrame,
    paired: pd.DataFrame,
    combinations: pd.DataFrame,
    record: Mapping[str, Any],
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Write a comparison as a new directory, whole or not at all; `write_more` adds what else belongs there.

    `combinations` has a file only where it has rows.

    Raises:
        InputError: `directory` exists, or cannot be written.
    """
    with whole_directory(directory) as beside:
        frame.to_parquet(beside / TABLE_FILE, index=False)
        write_csv(frame, beside / "per_perturbation.csv")
        write_csv(summary, beside / "summary.csv")
        write_csv(paired, beside / "paired.csv")
        if len(combinations):
            write_csv(combinations, beside / COMBINATIONS_FILE)
        (beside / RECORD_FILE).write_text(json.dumps(record, indent=2), encoding="utf-8")
        if write_more:
            write_more(beside)


def read_evaluation(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read an evaluation: its long table, and the record of what was opened and how it was scored.

    Raises:
        InputError: A file or a column that is missing or damaged, or a metric that the catalogue lacks.
    """
    record = read_record(folder)
    try:
        frame = pd.read_parquet(folder / TABLE_FILE)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    if missing := [column for column in LONG_COLUMNS if column not in frame]:
        raise InputError(
            f"An evaluation's table must have the columns {', '.join(LONG_COLUMNS)}, but "
            f"'{folder / TABLE_FILE}' has no {name_some(missing)}. Name a folder that "
            "'adapert evaluate' of this version wrote."
        )
    check_metrics(frame["metric"].unique(), f"'{folder / TABLE_FILE}'")
    return frame, record


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of an evaluation: what was opened, and how it was scored.

    Raises:
        InputError: The file is missing or damaged, as that of an unfinished evaluation is.
    """
    try:
        record = parse_json((folder / RECORD_FILE).read_bytes())
        if not isinstance(record["opened"], dict):
            raise ValueError("'opened' is not an object")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(folder, error) from error
    return dict(record)


def _unreadable(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"An evaluation's folder must have '{TABLE_FILE}' and '{RECORD_FILE}', but in '{folder}' they cannot "
        f"be read: {error}. Name a folder that 'adapert evaluate' wrote."
    )
