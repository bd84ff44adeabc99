"""Sections on one study's results: what it cost, its leaderboard, its pick, and what failed."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from adapert.config import Config
from adapert.errors import join_words
from adapert.evaluation.catalogue import find_metric
from adapert.records import OBJECTIVE, EndReason, TrialStatus
from adapert.results.study import StudyResults
from adapert.study.engine.first_rung import describe_first_rung
from analysis.report.elements import Column, PageTable, Paragraph, Part, build_page_table

ENDS = (
    TrialStatus.FINISHED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
    TrialStatus.INTERRUPTED,
    TrialStatus.RUNNING,
)
"""From the most to the least that a trial can say; a leaderboard follows it."""

_RARE_ENDS = (TrialStatus.INTERRUPTED, TrialStatus.RUNNING)
"""Left out of the costs where no trial ended so."""

STOPPED_BY = {
    EndReason.RUNG: "were behind others at a rung",
    EndReason.REQUEST: "were ended on request",
    EndReason.LIMIT: "were cut by a limit of the study",
}

METRICS = {
    "pearson_delta": Column(find_metric("pearson_delta").label, n_decimals=4),
    "sd_over_seeds": Column("sd over seeds", n_decimals=4),
    "pds": Column(find_metric("pds").label, n_decimals=4),
    "epochs": Column("epochs", n_decimals=0),
    "best_epoch": Column("best epoch", n_decimals=0),
    "seconds": Column("time", "s", 1),
    "n_seeds": Column("seeds"),
}
"""How columns about configs are shown."""


def build_cost_table(studies: Sequence[StudyResults]) -> PageTable:
    """Lay out what was run and what it cost, a row a study."""
    columns = {
        "trial_hours": Column("trial-hours", "h", 3),
        "wall_hours": Column("wall time", "h", 3),
        "started": Column("started", "UTC"),
    }
    frame = pd.DataFrame(
        [
            {
                "study": study.name,
                "design": study.design,
                "state": study.status,
                "trials": len(study.frame),
                **{str(end): study.count(end) for end in ENDS},
                "epochs": int(metric_of(study.frame, "epoch").sum()),
                "trial_hours": study.trial_hours,
                "wall_hours": study.wall_seconds / 3600,
                "started": f"{datetime.fromtimestamp(study.started_at, UTC):%Y-%m-%d %H:%M}",
                "hosts": ", ".join(sorted({*study.frame.get("host", ())} - {""})),
            }
            for study in studies
        ]
    )
    unused = [str(name) for name in _RARE_ENDS if not frame[name].any()]
    unused += [] if frame["hosts"].any() else ["hosts"]
    return build_page_table(
        frame.drop(columns=unused),
        "Studies and their cost",
        columns,
        "Trial-hours: work, summed over trials. Wall time: while a process ran the study.",
    )


def build_first_rungs(studies: Sequence[StudyResults]) -> list[Part]:
    """Say from which epoch on each search compared its trials, and why."""
    return [
        Paragraph(f"{study.name}: {sentence}")
        for study in studies
        if study.state is not None and (sentence := describe_first_rung(study.state))
    ]


def summarize_leaderboard(study: StudyResults) -> pd.DataFrame:
    """Rank a study's configs by the mean of their trials' best validation Pearson-delta.

    Returns:
        One row a config: rank (NaN where no trial finished), trials, variant, status, pearson_delta, its
        standard deviation over seeds, pds, epochs and best_epoch (means), seconds (sum), n_seeds, and the
        fields that vary. The best first, then stopped, failed and unfinished configs.
    """
    fields = [name for name in Config().flat() if name in study.frame and name != "data.path"]
    varied = [name for name in fields if study.frame[name].nunique(dropna=False) > 1]
    groups = study.frame.groupby(["config_digest", "variant"], sort=False)
    frame = pd.DataFrame([_leaderboard_row(rows, varied) for _, rows in groups])
    frame = frame.sort_values(
        ["status", "pearson_delta", "config"],
        ascending=[True, False, True],
        key=lambda column: column.map(list(ENDS).index) if column.name == "status" else column,
        ignore_index=True,
    )
    is_ranked = (frame["status"] == TrialStatus.FINISHED) & frame["pearson_delta"].notna()
    frame.insert(0, "rank", is_ranked.cumsum().where(is_ranked).astype("Int64").astype(object))
    frame.loc[~is_ranked, "rank"] = None
    return frame


def _leaderboard_row(rows: pd.DataFrame, varied: Sequence[str]) -> dict[str, object]:
    status = next(end for end in ENDS if (rows["status"] == end).any())
    rows = rows[rows["status"] == status]
    objective = metric_of(rows, OBJECTIVE)
    return {
        "trials": ", ".join(rows["trial"]),
        "variant": rows["variant"].iloc[0],
        "config": rows["config_digest"].iloc[0],
        "status": str(status),
        "pearson_delta": objective.mean(),
        "sd_over_seeds": objective.std(),
        "pds": metric_of(rows, "best_pds").mean(),
        "epochs": metric_of(rows, "epoch").mean(),
        "best_epoch": metric_of(rows, "best_epoch").mean(),
        "seconds": metric_of(rows, "total_seconds").sum(min_count=1),
        "n_seeds": rows["seed"].nunique(),
        **{name: rows[name].iloc[0] for name in varied},
    }


def metric_of(frame: pd.DataFrame, name: str) -> "pd.Series[float]":
    """A column of a frame, or NaN where it has no such column."""
    return frame[name] if name in frame else pd.Series(float("nan"), index=frame.index)


def build_leaderboard(study: StudyResults) -> list[Part]:
    """Lay out a study's configs, the best first."""
    if study.frame.empty:
        return [Paragraph("It has no trial yet.")]
    frame = summarize_leaderboard(study)
    is_search = study.design == "search"
    frame = frame.drop(columns=["variant"] if is_search and frame["variant"].nunique() == 1 else [])
    seeds_note = ""
    if frame["n_seeds"].max() > 1:
        seeds_note = " Means over seeds, with the standard deviation over seeds."
    else:
        frame = frame.drop(columns=["sd_over_seeds", "n_seeds"])
    stopped = " Values of stopped trials are of fewer epochs." if study.count(TrialStatus.STOPPED) else ""
    note = f"Validation Pearson-delta and PDS of the best epoch; higher is better.{seeds_note}{stopped}"
    return [build_page_table(frame, f"Configs of {study.name}, best first", METRICS, note)]


def build_failures(study: StudyResults) -> list[Part]:
    """Lay out which trials failed and why, and count those that were stopped."""
    parts: list[Part] = []
    if not study.count(TrialStatus.FAILED):
        parts.append(Paragraph(f"No trial of {study.name} failed."))
    else:
        columns = ["trial", "variant", "seed", "reason", "message"]
        failed = study.frame[study.frame["status"] == TrialStatus.FAILED]
        frame = failed[columns].assign(epochs=metric_of(failed, "epoch"), run=failed["run"])
        caption = f"Failed trials of {study.name}"
        parts.append(build_page_table(frame, caption, {"epochs": METRICS["epochs"]}))
    if study.count(TrialStatus.STOPPED):
        reasons = Counter(study.frame.loc[study.frame["status"] == TrialStatus.STOPPED, "reason"])
        counts = [
            f"{count} {STOPPED_BY.get(EndReason(reason), 'ended early') if reason else 'ended early'}"
            for reason, count in reasons.most_common()
        ]
        parts.append(Paragraph(f"Stopped trials: {join_words(counts)}."))
    return parts
