"""Rank a study's configs by what their trials reached on validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from adapert.config import Config, build_config
from adapert.data.schema import BoolArray, FloatArray
from adapert.errors import InputError, format_count, nearest
from adapert.evaluation.catalogue import find_metric, metrics_at_end
from adapert.html import build_card, build_sentences, build_table
from adapert.records import TrialStatus
from adapert.results.study import StudyResults

PARETO = "pareto"
"""Objective that weighs Pearson-delta against PDS."""

WHY_PARETO = (
    "A config is on the Pareto front if no other is at least as good in both Pearson-delta and PDS and "
    "better in one: Pearson-delta alone can be won by predicting the mean."
)

FRONT = ("pearson_delta", "pds")
"""Metrics of the Pareto front, of both of which larger is better."""

METRICS = (*FRONT, *(name for name in metrics_at_end() if find_metric(name).better != "neither"))
"""What configs can be ranked by: tracked as ``best_...``."""

OBJECTIVES = (*METRICS, PARETO)

SPLIT_SEED = "data.split_seed"


class Lead(NamedTuple):
    """How far the picked config is ahead of the next, both trained again with the same seeds and splits.

    Attributes:
        difference: Of the two means over splits, in the metric; above 0 where the pick is better.
        n_ahead: Paired trials in which it is.
        n_paired: Paired trials.
    """

    difference: float
    n_ahead: int
    n_paired: int


@dataclass(frozen=True, kw_only=True)
class Pick:
    """The picked config and how it compares.

    Attributes:
        config: The best one.
        candidates: Finished configs, best first: config_digest, variant, the metrics (means over seeds, at
            the same epochs: pearson_delta, pds and the objective), is_on_front where that is ``"pareto"``,
            n_seeds, and the fields that differ between the trials.
        n_left_out: Trials stopped early, failed or interrupted, and those whose objective is undefined.
        objective: What they are ranked by.
        configs: The candidates' configs, in their order.
        next_seed: Larger than every seed that a trial of the study had.
        trials: Finished trials of the picked config on the study's own split, ``"search/007"``, the study's
            first.
        trials_of: Finished trials of each candidate in the study.
        reevaluated: A row for each retrained candidate (`adapert.selection.reevaluate`); None without any.
        lead: How far it is ahead of the next that was retrained; None without any.
        reason: Why this one, in a sentence.
        notes: What a reader of the table must know, in sentences.
        n_failed: Failed trials of the re-evaluation.
        reevaluation: Name of the study that retrained the best; empty without one.
    """

    config: Config
    candidates: pd.DataFrame
    n_left_out: int
    objective: str = "pearson_delta"
    configs: tuple[Config, ...] = ()
    next_seed: int = 0
    trials: tuple[str, ...] = ()
    trials_of: tuple[tuple[str, ...], ...] = ()
    reevaluated: pd.DataFrame | None = None
    lead: Lead | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    n_failed: int = 0
    reevaluation: str = ""

    @property
    def metric(self) -> str:
        """The metric that is shown first and whose interval is drawn: Pearson-delta for ``"pareto"``."""
        return "pearson_delta" if self.objective == PARETO else self.objective

    def _repr_html_(self) -> str:
        """Show a notebook the reason, the best configs, and what is picked."""
        shown = self.candidates.drop(columns=["config_digest", "variant"], errors="ignore")
        is_picked = [index + 1 == self.rank for index in range(len(shown))]
        heads = ("rank", *map(str, shown.columns), "picked")
        rows = [
            (rank, *row, "*" if picked else "")
            for rank, (row, picked) in enumerate(zip(shown.to_numpy().tolist(), is_picked, strict=True), 1)
        ]
        retrained = ""
        if self.reevaluated is not None:
            again = self.reevaluated.drop(columns="config_digest")
            table = build_table([*map(str, again.columns)], again.to_numpy().tolist())
            retrained = build_sentences(["Retrained:"]) + table
        return build_card(
            f"Picked by {describe_objective(self.objective)}",
            build_sentences([self.reason, *self.notes]),
            build_table(heads, rows),
            retrained,
        )

    @property
    def rank(self) -> int:
        """Rank of the picked config in the study, from 1."""
        return self.configs.index(self.config) + 1


def pick(study: StudyResults, objective: str = "pearson_delta") -> Pick:
    """Rank a study's finished configs by a validation metric, averaged over their seeds.

    Trials that the scheduler stopped were not given the same epochs and are left out.

    Raises:
        InputError: An unknown objective, no finished trial in the study, or trials on different splits, which
            do not compare.
    """
    if objective not in OBJECTIVES:
        raise InputError(
            f"--objective must be one of {', '.join(OBJECTIVES)}, but it is '{objective}'."
            f"{nearest(objective, OBJECTIVES)}"
        )
    trials = study.frame
    finished = keep_finished(trials, objective)
    if finished.empty:
        raise InputError(
            f"A config is picked among finished trials, but study '{study.name}' has none of its "
            f"{format_count(len(trials), 'trial')} finished. {study.how_to_finish}"
        )
    if finished[SPLIT_SEED].nunique() > 1:
        raise InputError(
            f"Configs are compared on one split, but the trials of '{study.name}' have several. Pick from "
            "the study whose configs it retrained."
        )
    candidates = rank_candidates(_summarize_configs(finished, objective), objective)
    ranked = candidates["config_digest"]
    first_of = finished.drop_duplicates("config_digest").set_index("config_digest")[list(Config().flat())]
    configs = tuple(config_of(row) for row in first_of.loc[ranked].to_dict("records"))
    trials_of = tuple(finished.groupby("config_digest")["run"].agg(tuple)[ranked])
    return Pick(
        config=configs[0],
        candidates=candidates,
        n_left_out=len(trials) - len(finished),
        objective=objective,
        configs=configs,
        next_seed=int(trials["seed"].max()) + 1,
        trials=trials_of[0],
        trials_of=trials_of,
        reason=f"Rank 1 is picked, the best of {len(configs)} by {describe_objective(objective)} in the "
        "study; it was not retrained on fresh seeds and splits, so part of its lead may be chance.",
        notes=(WHY_PARETO,) if objective == PARETO else (),
    )


def metrics_of(objective: str) -> tuple[str, ...]:
    """Metrics that are shown of candidates: Pearson-delta, PDS, and the objective if it is neither."""
    return tuple(dict.fromkeys((*FRONT, *([] if objective == PARETO else [objective]))))


def describe_objective(objective: str) -> str:
    """Say an objective in words."""
    if objective == PARETO:
        return f"mean rank in {' and '.join(find_metric(name).label for name in FRONT)} on their Pareto front"
    return find_metric(objective).label


def keep_finished(trials: pd.DataFrame, objective: str) -> pd.DataFrame:
    """Keep the finished trials that have the objective.

    Returns:
        Their rows, with `METRICS` under their own names and every field of the config: what an older version
        did not track has the default.
    """
    finished = trials[trials["status"] == TrialStatus.FINISHED] if len(trials) else trials
    unknown = pd.Series(None, finished.index, dtype=object)
    metrics = {name: finished.get(f"best_{name}", unknown).astype(float) for name in METRICS}
    defaults = Config().flat()
    config = finished.reindex(columns=list(defaults)).astype(object)
    for field in config.columns[config.isna().any()]:
        config[field] = config[field].where(config[field].notna(), defaults[field])
    others = finished.drop(columns=[*metrics, *defaults], errors="ignore")
    named = pd.concat([others, pd.DataFrame(metrics, finished.index), config], axis=1)
    return named.dropna(subset=list(FRONT) if objective == PARETO else [objective])


def rank_candidates(candidates: pd.DataFrame, objective: str) -> pd.DataFrame:
    """Put the best config first.

    By a metric, that is the one of best value. By ``"pareto"``, those on the front of Pearson-delta and PDS
    come before all others, ordered by the mean of their ranks in the two, so that neither metric's scale
    decides. Ties are broken by the digest, so that the order of runs in the store does not decide.

    Args:
        candidates: A row a config: config_digest and the objective's metrics.
        objective: One of `OBJECTIVES`.

    Returns:
        The rows in their order, with a new index, and is_on_front where the objective is ``"pareto"``.
    """
    if objective != PARETO:
        is_ascending = [find_metric(objective).better == "smaller", True]
        return candidates.sort_values([objective, "config_digest"], ascending=is_ascending, ignore_index=True)
    front = candidates[list(FRONT)]
    mean_rank = front.rank(ascending=False).mean(axis=1)
    marked = candidates.assign(is_on_front=find_front(front.to_numpy()), _mean_rank=mean_rank)
    order = {"is_on_front": False, "_mean_rank": True, "config_digest": True}
    ranked = marked.sort_values(list(order), ascending=list(order.values()), ignore_index=True)
    return ranked.drop(columns="_mean_rank")


def find_front(values: FloatArray) -> BoolArray:
    """Find the rows that no other is at least as good as in every column and better in one.

    Args:
        values: Larger is better, (n_rows, n_metrics).

    Returns:
        Whether a row is on the front, (n_rows,).
    """
    others, each = values[None], values[:, None]
    is_dominated = np.all(others >= each, axis=2) & np.any(others > each, axis=2)
    return np.asarray(~is_dominated.any(axis=1))


def config_of(trial: "Mapping[Any, Any] | pd.Series[Any]") -> Config:
    """Build the config of a row of `keep_finished`."""
    # pandas turns a column of whole numbers with a gap into floats, and the digest knows the type.
    return build_config({name: type(like)(trial[name]) for name, like in Config().flat().items()})


def _summarize_configs(finished: pd.DataFrame, objective: str) -> pd.DataFrame:
    fields = [name for name in Config().flat() if name not in ("data.path", SPLIT_SEED)]
    varied = [name for name in fields if finished[name].nunique() > 1]
    named: Mapping[str, Any] = {
        "variant": ("variant", "first"),
        **{name: (name, "mean") for name in metrics_of(objective)},
        "n_seeds": ("seed", "nunique"),
        **{name: (name, "first") for name in varied},
    }
    summary: pd.DataFrame = finished.groupby("config_digest", sort=False).agg(**named).reset_index()
    return summary
