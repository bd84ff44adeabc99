"""Choose among a study's best configs by trials on fresh seeds and redrawn splits.

The best of many trials owes part of its lead to its seed, and part to the validation perturbations that all
trials were compared on. Fresh seeds remove the first part. The second is overtuning: a config that was chosen
on one validation set keeps an advantage there, which only a redrawn split reveals. So every split has the
same weight: the study's own, by the mean over its fresh seeds, and each redrawn one. All candidates get the
same splits and seeds, so that an easy split favours none of them.
"""

from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pandas as pd

from adapert.errors import InputError, format_count
from adapert.evaluation.catalogue import find_metric
from adapert.records import TrialStatus
from adapert.results.find import open_study
from adapert.results.study import StudyResults
from adapert.selection.rank import (
    PARETO,
    SPLIT_SEED,
    Lead,
    Pick,
    config_of,
    describe_objective,
    keep_finished,
    metrics_of,
    pick,
    rank_candidates,
)
from adapert.study.plan.study import Design

SUFFIX = "_reevaluation"
"""Ends the name of the study that retrains another one's best configs."""

_REPLICATE = [SPLIT_SEED, "seed"]


def name_reevaluation(study: str, number: int) -> str:
    """Name a study's re-evaluation; from the second on they are numbered."""
    return f"{study}{SUFFIX}" if number == 1 else f"{study}{SUFFIX}_{number}"


def searched_study(workspace: Path, study: str) -> str:
    """Name the study whose configs a re-evaluation retrains, or the study itself if it is none.

    Raises:
        InputError: No such study.
    """
    is_reevaluation = SUFFIX in study and open_study(workspace, study).design == "reevaluation"
    return study.rpartition(SUFFIX)[0] if is_reevaluation else study


def count_retrained(plan: Design) -> tuple[int, int]:
    """Count the configs that a re-evaluation retrains, and the redrawn splits for each."""
    n_redrawn = len(plan.n_seeds_of)
    n_configs = len(plan.variants) - n_redrawn
    return n_configs, n_redrawn // n_configs


def pick_reevaluated(workspace: Path, study: StudyResults) -> Pick:
    """Pick as `adapert pick` last did, without training anything.

    Returns:
        The pick as it was last made; by the last re-evaluation if none was made. Without a re-evaluation,
        `Pick.reevaluated` is None.

    Raises:
        InputError: As `pick`.
    """
    record = study.picked
    picked = pick(study, record.objective if record else "pearson_delta")
    name = record.reevaluation if record else _last_reevaluation(workspace, study.name)
    if not name:
        return picked
    trials = open_study(workspace, name).frame
    is_finished = len(keep_finished(trials, picked.objective)) > 0
    return replace(pick_retrained(picked, trials), reevaluation=name) if is_finished else picked


def picked_trial(workspace: Path, study: StudyResults) -> str:
    """Name a trial of the config that was last picked, ``"search/007"``; empty where none was picked."""
    return next(iter(pick_reevaluated(workspace, study).trials), "") if study.picked else ""


def pick_retrained(picked: Pick, trials: pd.DataFrame) -> Pick:
    """Pick the config of a ranking that does best when it is retrained, by the re-evaluation's trials.

    Candidates are compared on the splits and seeds that all of them finished; one without any is dropped,
    with a note.

    Returns:
        The pick. Its `reevaluated` has one row a candidate, best first: rank (in the study),
        config_digest, searched (value of the objective in the study; of Pearson-delta where that is
        ``"pareto"``), fresh and fresh_sd (mean and SD over the fresh seeds on the study's own split),
        redrawn and redrawn_sd (over the redrawn splits), drop (searched minus fresh), the metrics (means
        over splits, each the mean over its seeds), is_on_front where the objective is ``"pareto"``,
        n_trials. NaN where there are too few trials for a value.

    Raises:
        InputError: No candidate has a finished trial.
    """
    results = _rank_trials(picked, keep_finished(trials, picked.objective))
    if results.empty:
        raise InputError(
            "A config is picked by finished trials of the re-evaluation, but it has none of "
            f"{len(trials)}. See why with 'adapert status STUDY', or pick without one by --no-reevaluation."
        )
    shared, notes = _keep_shared(results)
    table = rank_candidates(_summarize(picked, shared), picked.objective)
    lead = _measure_lead(picked, table, shared)
    best = int(table["rank"][0]) - 1
    config = picked.configs[best]
    on_own_split = results[(results["rank"] == best + 1) & (results[SPLIT_SEED] == config.data.split_seed)]
    n_failed = int((trials["status"] == TrialStatus.FAILED).sum())
    if n_failed:
        notes.append(f"{n_failed} of {format_count(len(trials), 'trial')} of the re-evaluation failed.")
    return replace(
        picked,
        config=config,
        trials=(*picked.trials_of[best], *on_own_split["run"]),
        reevaluated=table,
        lead=lead,
        reason=_give_reason(picked, table, shared, lead),
        notes=(*picked.notes, *notes),
        n_failed=n_failed,
    )


def _last_reevaluation(workspace: Path, study: str) -> str:
    """Name the last re-evaluation that has a trial; empty where there is none."""
    last = ""
    with suppress(InputError):  # there is no further one
        for name in (name_reevaluation(study, number) for number in count(1)):
            last = name if open_study(workspace, name).trials else last
    return last


def _rank_trials(picked: Pick, finished: pd.DataFrame) -> pd.DataFrame:
    """Keep the candidates' trials, one a split and seed, with the rank of the candidate that each trained."""
    own = {SPLIT_SEED: picked.configs[0].data.split_seed}
    rank_of = {config.digest(): rank for rank, config in enumerate(picked.configs, 1)}
    digests = [config_of(trial).with_changes(own).digest() for _, trial in finished.iterrows()]
    ranked = finished.assign(rank=[rank_of.get(digest, 0) for digest in digests])
    # A trial that was tracked twice is the same trial.
    return ranked[ranked["rank"] > 0].drop_duplicates(["rank", *_REPLICATE])


def _keep_shared(results: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the splits and seeds that all candidates have, dropping those with fewest until there are some."""
    notes = []
    while True:
        n_candidates = results["rank"].nunique()
        n_have = results.groupby(_REPLICATE)["rank"].transform("count")
        if (n_have == n_candidates).any():
            break
        fewest = results["rank"].value_counts().sort_index(ascending=False).idxmin()
        notes.append(f"Rank {fewest} is left out: it finished too few trials to be compared.")
        results = results[results["rank"] != fewest]
    n_left_out = int((n_have < n_candidates).sum())
    if n_left_out:
        notes.append(
            "Left out, since not all candidates have their split and seed: "
            f"{format_count(n_left_out, 'trial')}."
        )
    return results[n_have == n_candidates], notes


def _summarize(picked: Pick, shared: pd.DataFrame) -> pd.DataFrame:
    metrics = list(metrics_of(picked.objective))
    main = picked.metric
    rows = []
    for rank in sorted({int(rank) for rank in shared["rank"]}):
        trials = shared[shared["rank"] == rank]
        before = float(picked.candidates[main].iloc[rank - 1])
        is_own = trials[SPLIT_SEED] == picked.configs[0].data.split_seed
        fresh = trials.loc[is_own, main]
        redrawn = trials[~is_own].groupby(SPLIT_SEED)[main].mean()
        rows.append(
            {
                "rank": rank,
                "config_digest": picked.candidates["config_digest"].iloc[rank - 1],
                "searched": before,
                "fresh": fresh.mean(),
                "fresh_sd": fresh.std(),
                "redrawn": redrawn.mean(),
                "redrawn_sd": redrawn.std(),
                "drop": before - fresh.mean(),
                **trials.groupby(SPLIT_SEED)[metrics].mean().mean().to_dict(),
                "n_trials": len(trials),
            }
        )
    return pd.DataFrame(rows)


def _measure_lead(picked: Pick, table: pd.DataFrame, shared: pd.DataFrame) -> Lead | None:
    """Compare the best with the next, trial by trial; None where nothing is next."""
    if len(table) == 1:
        return None
    (best, second), gain = table.head(2).to_dict("records"), find_metric(picked.metric).gain
    values = shared.set_index([*_REPLICATE, "rank"])[picked.metric].unstack("rank")
    leads = gain * (values[best["rank"]] - values[second["rank"]])
    difference = float(gain * (best[picked.metric] - second[picked.metric]))
    return Lead(difference, int((leads > 0).sum()), len(values))


def _give_reason(picked: Pick, table: pd.DataFrame, shared: pd.DataFrame, lead: Lead | None) -> str:
    main, objective = picked.metric, picked.objective
    best = table.iloc[0]
    lead_in = f"Rank {best['rank']:.0f} is picked: its {describe_objective(objective)}"
    n_splits = shared[SPLIT_SEED].nunique()
    over = f"over {format_count(n_splits, 'split')}, {format_count(best['n_trials'], 'trial')} in all"
    if lead is None:
        return f"{lead_in} is {best[main]:.4f} {over}; no other config was retrained."
    second = table.iloc[1]
    unit = f" in {find_metric(main).label}" if objective == PARETO else ""
    is_best = "is the best" if objective == PARETO else f"of {best[main]:.4f} is the best of {len(table)}"
    return (
        f"{lead_in} {is_best} {over}. Rank {second['rank']:.0f} is next with {second[main]:.4f}{unit}; the "
        f"pick is ahead of it in {lead.n_ahead} of {format_count(lead.n_paired, 'paired trial')}."
    )
