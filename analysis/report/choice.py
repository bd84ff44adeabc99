"""The section on a search's picked config: how it compares, and how it did when it was trained again."""

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError, format_count
from adapert.evaluation.catalogue import find_metric
from adapert.results.load import load_per_perturbation
from adapert.results.study import StudyResults
from adapert.selection.rank import Pick
from adapert.statistics.estimates import CONFIDENCE, summarize_by
from analysis.findings.pick import ReadPick
from analysis.report.elements import Code, Column, PageTable, Paragraph, Part, build_page_table
from analysis.report.results import METRICS

N_RUNNERS_UP = 4

_COLUMNS = METRICS | {
    "config_digest": Column("config"),
    "low": Column("low", n_decimals=4),
    "high": Column("high", n_decimals=4),
}

_AGAIN_COLUMNS = _COLUMNS | {
    "searched": Column("searched", n_decimals=4),
    "fresh": Column("fresh seeds", n_decimals=4),
    "fresh_sd": Column("sd over seeds", n_decimals=4),
    "redrawn": Column("redrawn splits", n_decimals=4),
    "redrawn_sd": Column("sd over splits", n_decimals=4),
    "drop": Column("drop", n_decimals=4),
    "n_trials": Column("trials"),
}


def build_choice(study: StudyResults, read: ReadPick) -> list[Part]:
    """Lay out the picked config with its runners-up, and how they did when trained again."""
    if read.pick is None:
        return [Paragraph(read.reason)]
    picked = read.pick
    shown = picked.candidates.head(1 + N_RUNNERS_UP).copy()
    shown.insert(0, "rank", range(1, len(shown) + 1))
    fields = [str(name) for name in shown.columns if "." in str(name)]
    parts: list[Part] = [Paragraph(" ".join([picked.reason, *picked.notes]).strip())]
    if picked.reevaluated is not None:
        parts.append(
            build_page_table(
                picked.reevaluated,
                f"The best configs of {study.name}, trained again; the first one is picked",
                _AGAIN_COLUMNS,
                f"Rank: in the search. Validation {find_metric(picked.metric).label}: searched is the value "
                "that ranked it; fresh seeds are means over seeds that the search did not use, on its own "
                "split; redrawn splits are means over other draws of training and validation perturbations; "
                "drop is searched minus fresh seeds. Pearson-delta and PDS: means over splits, each the mean "
                "over its seeds.",
            )
        )
    scores = shown[[name for name in shown.columns if name not in fields and name != "variant"]]
    parts.append(_scores_table(_with_intervals(scores, study, picked.metric), picked))
    if fields:
        default = Config().flat()
        settings = shown.set_index(shown["rank"].map("rank {}".format))[fields].astype(object).T
        settings.insert(0, "default", [default[name] for name in fields])
        settings = settings.rename_axis("field").reset_index()
        caption = "Settings in which the trials differ"
        parts.append(build_page_table(settings, caption, note="Default: the package's own."))
    parts.append(Code(f"The config picked from {study.name}, YAML", picked.config.to_yaml()))
    return parts


def _with_intervals(scores: pd.DataFrame, study: StudyResults, metric: str) -> pd.DataFrame:
    try:
        long = load_per_perturbation(study)
    except InputError:  # a trial without its table: the means stand alone
        return scores
    is_shown = long["config_digest"].isin(scores["config_digest"]) & (long["split"] == "validation")
    estimates = summarize_by(long[is_shown & (long["metric"] == metric)], ["config_digest"])
    if estimates.empty:
        return scores
    merged = scores.merge(estimates[["config_digest", "low", "high"]], on="config_digest", how="left")
    beside = list(scores.columns)
    at = beside.index(metric) + 1
    return merged[[*beside[:at], "low", "high", *beside[at:]]]


def _scores_table(scores: pd.DataFrame, picked: Pick) -> PageTable:
    label = find_metric(picked.metric).label
    interval = (
        f" Low and high: {CONFIDENCE:.0%} interval of {label}'s mean, by bootstrap of families of "
        "perturbations, including between-seed variance."
        if "low" in scores
        else ""
    )
    n = picked.n_left_out
    left_out = f" Left out: {format_count(n, 'trial')} without a final {label}." if n else ""
    return build_page_table(
        scores,
        "The best configs of the search",
        _COLUMNS,
        f"Validation Pearson-delta, mean over seeds, and PDS at the same epochs.{interval}{left_out}",
    )
