"""Load what a leaderboard is made of: the comparison's long table, its systems, and their searches."""

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from adapert.data.manifest import read_manifest
from adapert.records import TrialStatus
from adapert.results.find import open_beside
from adapert.results.inputs import locate_data
from adapert.results.ledger import LedgerResults
from adapert.results.load import NothingToShowError, load_per_perturbation, load_search
from adapert.results.study import StudyResults
from adapert.results.trial import TrialResult
from adapert.statistics.pairs import model_of
from adapert.study.plan.peers import (
    DEFAULT,
    TUNED,
    compared_variant,
    form_of,
    name_search,
    names_of_data,
)
from analysis.leaderboard.reads import TEXT, find_sources, group_of

FACTS = ("variant", "system", "form", "group", "reads", "n_parameters", "n_trials", "hours")
"""Columns of `describe_systems`."""


def load_leaderboard(study: StudyResults) -> pd.DataFrame:
    """Load the long table of a comparison of systems, and what is known of each.

    Returns:
        As `adapert.results.load.load_per_perturbation`, variants without their split, and `FACTS`.

    Raises:
        NothingToShowError: No finished trial.
        InputError: A damaged table.
    """
    frame = load_per_perturbation(study)
    frame["variant"] = frame["variant"].astype(str).map(compared_variant)
    return frame.merge(describe_systems(study), on="variant", how="left")


def load_ranked(study: StudyResults, split: str) -> pd.DataFrame:
    """Load the rows of one split that systems are ranked by: of their tuned forms, or the only ones.

    Returns:
        As `load_leaderboard`.

    Raises:
        NothingToShowError: No finished trial, or none with the split.
        InputError: A damaged table.
    """
    frame = load_leaderboard(study)
    chosen = frame[(frame["split"] == split) & (frame["form"] != DEFAULT)]
    if chosen.empty:
        raise NothingToShowError(f"No run of study '{study.name}' has the split '{split}' and a picked form.")
    return chosen


def describe_systems(study: StudyResults) -> pd.DataFrame:
    """Describe each variant of a comparison: what it is, reads and cost.

    Returns:
        variant, system (the model), form (default, tuned, or empty for a model that was not searched), group
        (of `analysis.leaderboard.reads.GROUPS`), reads, n_parameters (trainable; NaN for a model without),
        n_trials and hours (configs of its search, and trial-hours of it and of what its pick retrained; NaN
        without a search).
    """
    first: dict[str, TrialResult] = {}
    for trial in study.trials:
        variant = compared_variant(trial.variant)
        if trial.status == TrialStatus.FINISHED:
            first.setdefault(variant, trial)
    rows = []
    first_embeddings = _find_first_embeddings(study, first.values())
    for variant, trial in first.items():
        system, form = model_of(variant), form_of(variant)
        sources = find_sources(trial.config)
        n_trials, hours = _measure_search(study, system) if form in (DEFAULT, TUNED) else (math.nan, math.nan)
        rows.append(
            (
                variant,
                system,
                form,
                group_of(sources, trial.config, first_embeddings),
                ", ".join(sources) or "nothing",
                trial.metrics.get("n_parameters", math.nan),
                n_trials,
                hours,
            )
        )
    return pd.DataFrame(rows, columns=list(FACTS))


def _find_first_embeddings(study: StudyResults, trials: Iterable[TrialResult]) -> str:
    """Name the first embeddings of the trials' data set; the usual name where it is not found."""
    for trial in trials:
        path = Path(str(trial.config.get("data.path", "")))
        workspace = study.folder.parent.parent if isinstance(study, LedgerResults) else path
        if located := locate_data(path, study.fingerprint, workspace):
            return read_manifest(located).embeddings[0]
    return TEXT


def find_search(study: StudyResults, system: str) -> tuple[StudyResults, str] | None:
    """Find the search of a system beside a comparison on the same data, and the data set's name; else None.

    Raises:
        InputError: A damaged ledger, or a store that cannot be read.
    """
    for data in names_of_data(study.name):
        search = open_beside(study, name_search(system, data))
        if search is not None and search.fingerprint == study.fingerprint:
            return search, data
    return None


def load_searches(study: StudyResults) -> pd.DataFrame:
    """Load the searches of a comparison's systems, a row a trial.

    Returns:
        As `adapert.results.load.load_search`, and system.

    Raises:
        NothingToShowError: None of the searches is there, or none has a trial with an objective.
    """
    systems = dict.fromkeys(model_of(trial.variant) for trial in study.trials if form_of(trial.variant))
    loaded = []
    for system in systems:
        found = find_search(study, system)
        try:
            loaded += [load_search(found[0]).assign(system=system)] if found else []
        except NothingToShowError:
            continue
    if not loaded:
        raise NothingToShowError(
            f"The searches of '{study.name}' are studies beside it, such as "
            f"'{name_search(next(iter(systems), 'adapert'))}', but none of them is there with a "
            "trial. Put their folders back."
        )
    return pd.concat(loaded, ignore_index=True)


def _measure_search(study: StudyResults, system: str) -> tuple[float, float]:
    """Count a system's configs and the hours of its search, with those of its re-evaluation."""
    found = find_search(study, system)
    if found is None:
        return math.nan, math.nan
    search, _ = found
    hours = search.trial_hours
    again = search.picked and search.picked.reevaluation
    if again and (retrained := open_beside(study, again)):
        hours += retrained.trial_hours
    # Further seeds of a config are no further configs.
    seeds = [trial.seed for trial in search.trials]
    return float(seeds.count(min(seeds, default=0))), hours
