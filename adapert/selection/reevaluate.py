"""Pick a config: rank a study's, retrain the best few, and name the one that holds."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from math import isnan, nan
from pathlib import Path
from typing import Any

from rich.console import Console

from adapert.commands import in_workspace
from adapert.data.trial_graph import has_chance
from adapert.errors import InputError, format_count
from adapert.records import TrialRecord, TrialStatus
from adapert.results.find import open_study
from adapert.results.inputs import find_data
from adapert.results.ledger import write_pick
from adapert.results.load import load_per_perturbation
from adapert.results.study import PickRecord, StudyResults
from adapert.selection.decide import count_retrained, name_reevaluation, pick_retrained
from adapert.selection.rank import SPLIT_SEED, Pick, pick
from adapert.statistics.estimates import summarize_by
from adapert.study.engine.folders import study_folder
from adapert.study.engine.ledger import LEDGER_FILE
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import LeftError
from adapert.study.engine.state import StudyState, read_state
from adapert.study.execution.resources import restore_resources
from adapert.study.plan.study import Design, Study
from adapert.tracking.runs import keep_pick as track_pick
from adapert.tracking.store import tracking_uri
from adapert.workspace.launch import launch
from adapert.workspace.progress import format_seconds
from adapert.workspace.resume import resume

_LOGGER = logging.getLogger(__name__)

N_WITH_INTERVAL = 20
"""Candidates that get an interval: a table and a bootstrap each."""


class UnfinishedError(LeftError):
    """A re-evaluation was left before its end; picking again resumes it."""


@dataclass(frozen=True, kw_only=True)
class ReevaluationPlan:
    """How the best configs are retrained.

    Attributes:
        top: Maximum number of configs.
        n_fresh_seeds: Seeds of each on the study's own split, larger than every seed that the study had; one
            where no seed changes any of the fits.
        n_redraws: Redrawn splits, on which each is trained with the first of those seeds.

    Raises:
        InputError: No config, no seed, or a negative number of redraws.
    """

    top: int = 3
    n_fresh_seeds: int = 3
    n_redraws: int = 2

    def __post_init__(self) -> None:
        least = {"top": 1, "n_fresh_seeds": 1, "n_redraws": 0}
        for name, value in asdict(self).items():
            if value < least[name]:
                raise InputError(f"{name} of a re-evaluation must be at least {least[name]}, but is {value}.")


def pick_config(
    workspace: Path,
    study: str,
    objective: str = "pearson_delta",
    plan: ReevaluationPlan | None = None,
    resources: Mapping[str, Any] | None = None,
    console: Console | None = None,
    data: Path | None = None,
) -> Pick:
    """Pick a study's best config, with a re-evaluation of its best few before one is named.

    The re-evaluation is a study of its own, ``STUDY_reevaluation``: it survives a crash, and picking again
    resumes it, or reuses it as long as the candidates are the same; others get a further study.

    Args:
        workspace: Folder of the study.
        study: Name of the study.
        objective: One of `adapert.selection.rank.OBJECTIVES`.
        plan: How the best are retrained; the default plan if None.
        resources: Fields of `Resources` to use; the others are as the study had them.
        console: Where progress is shown; nowhere if None.
        data: Prepared data set of the study, where it has been moved.

    Returns:
        As `adapert.selection.decide.pick_retrained`, with low and high among the candidates' columns.

    Raises:
        InputError: As `pick`, `adapert.workspace.launch.launch` and `adapert.workspace.resume.resume`, or the
            data set is not the study's.
        UnfinishedError: The re-evaluation was left before its end.
    """
    picked = rank_with_intervals(open_study(workspace, study), objective)
    wanted = build_reevaluation(picked, study, plan or ReevaluationPlan())
    name = _retrain(wanted, study, workspace, resources or {}, console or Console(quiet=True), data)
    return _pick_by(name, picked, workspace)


def _pick_by(reevaluation: str, picked: Pick, workspace: Path) -> Pick:
    """Pick of a ranking the config that a re-evaluation's trials find best."""
    frame = open_study(workspace, reevaluation).frame
    return replace(pick_retrained(picked, frame), reevaluation=reevaluation)


@dataclass(frozen=True, kw_only=True)
class ExpectedRetraining:
    """What picking would train.

    Attributes:
        picked: As `pick_config` returns it where nothing is left to train; else the study's ranking.
        study: The study that would retrain the best.
        n_left: Its trials that have not ended yet.
        trial_seconds: Mean of the ranked study's finished trials; NaN where that is not known.
    """

    picked: Pick
    study: Study
    n_left: int
    trial_seconds: float

    def describe(self) -> str:
        """Say in a sentence what would be trained."""
        assert isinstance(self.study.plan, Design)
        n_configs, n_redraws = count_retrained(self.study.plan)
        n_trials = format_count(self.study.plan.size, "training")
        if not self.n_left:
            return f"All {n_trials} of '{self.study.name}' are done: picking would train nothing."
        left = "" if self.n_left == self.study.plan.size else f", of which {self.n_left} are left"
        seconds = self.n_left * self.trial_seconds
        takes = "" if isnan(seconds) else f"; one after the other about {format_seconds(seconds)}"
        return (
            f"Picking would take {n_trials}{left}: rank 1 to {n_configs}, each on "
            f"{format_count(self.study.plan.n_seeds, 'fresh seed')} and "
            f"{format_count(n_redraws, 'redrawn split')}{takes}."
        )


def expect_retraining(
    workspace: Path, study: str, objective: str = "pearson_delta", plan: ReevaluationPlan | None = None
) -> ExpectedRetraining:
    """Say what `pick_config` would train, without training or writing anything.

    Raises:
        InputError: As `pick`.
    """
    results = open_study(workspace, study)
    picked = rank_with_intervals(results, objective)
    named, begun = _find(build_reevaluation(picked, study, plan or ReevaluationPlan()), study, workspace)
    n_ended = sum(record.status != TrialStatus.RUNNING for record in begun.records.values()) if begun else 0
    n_left = (begun.n_asked if begun else named.plan.size) - n_ended
    seconds = [trial.metrics.get("total_seconds", nan) for trial in results.trials if trial.is_finished]
    return ExpectedRetraining(
        picked=picked if n_left else _pick_by(named.name, picked, workspace),
        study=named,
        n_left=n_left,
        trial_seconds=sum(seconds) / len(seconds),
    )


def rank_with_intervals(results: StudyResults, objective: str) -> Pick:
    """Pick a study's best config without retraining any, with the intervals of `add_intervals`.

    Raises:
        InputError: As `pick`.
    """
    return add_intervals(pick(results, objective), results)


def add_intervals(picked: Pick, study: StudyResults) -> Pick:
    """Give the best `N_WITH_INTERVAL` candidates the interval of their metric, over perturbations and seeds.

    Returns:
        The pick with candidates' columns low and high, 95 %, of the objective (of Pearson-delta if that is
        ``"pareto"``); NaN, and a note, if a table is missing or the metric has no value by perturbation.
    """
    try:
        best = [name for names in picked.trials_of[:N_WITH_INTERVAL] for name in names]
        long = load_per_perturbation(study, best)
    except InputError as error:
        candidates = picked.candidates.assign(low=float("nan"), high=float("nan"))
        return replace(picked, candidates=candidates, notes=(*picked.notes, f"No intervals: {error}"))
    estimates = summarize_by(long[long["metric"] == picked.metric], ["config_digest"])
    intervals = estimates[["config_digest", "low", "high"]]
    candidates = picked.candidates.merge(intervals, on="config_digest", how="left")
    return replace(picked, candidates=candidates)


def warn_of_replaced(workspace: Path, results: StudyResults) -> None:
    """Say in the log that a pick at once replaces one that stood on retraining."""
    if results.picked and results.picked.reevaluation:
        _LOGGER.warning(
            f"This replaces a pick that retrained the best in '{results.picked.reevaluation}'. 'adapert pick "
            f"{in_workspace(workspace, results.name)}' makes that one again and trains nothing."
        )


def keep_pick(workspace: Path, study: str, picked: Pick) -> None:
    """Record how a study's config was picked: in its folder, and with its run in MLflow."""
    folder = study_folder(workspace, study)
    if (folder / LEDGER_FILE).is_file():
        write_pick(folder, PickRecord(picked.objective, picked.reevaluation))
    track_pick(tracking_uri(workspace), study, picked.objective, picked.reevaluation)


def build_reevaluation(picked: Pick, study: str, plan: ReevaluationPlan) -> Study:
    """Build the study that retrains the best configs.

    Variant ``rank_1`` is the study's best on fresh seeds, ``rank_1_split_1`` the same on a redrawn split
    with the first of these seeds, and so on. Where no seed changes any of the fits, one seed stands for all.
    """
    configs = picked.configs[: plan.top]
    # All or none: candidates are compared on the seeds that all of them have.
    n_seeds = plan.n_fresh_seeds if any(map(has_chance, configs)) else 1
    base = configs[0].flat()
    own = configs[0].data.split_seed
    redraws = [seed for seed in range(1, plan.n_redraws + 2) if seed != own][: plan.n_redraws]
    variants = {}
    for rank, config in enumerate(configs, 1):
        changes = {field: value for field, value in config.flat().items() if value != base[field]}
        variants[f"rank_{rank}"] = changes
        variants |= {f"rank_{rank}_split_{seed}": changes | {SPLIT_SEED: seed} for seed in redraws}
    return Study(
        name=name_reevaluation(study, 1),
        question=f"Do the best configs of '{study}' hold on fresh seeds and redrawn splits?",
        base=configs[0],
        plan=Design(
            kind="reevaluation",
            variants=variants,
            n_seeds=n_seeds,
            first_seed=picked.next_seed,
            n_seeds_of={name: 1 for name, changes in variants.items() if changes.get(SPLIT_SEED, own) != own},
        ),
    )


def _retrain(
    wanted: Study,
    study: str,
    workspace: Path,
    resources: Mapping[str, Any],
    console: Console,
    data: Path | None,
) -> str:
    """Run a re-evaluation of a study, resume it, or find it done; return its name."""
    named, begun = _find(wanted, study, workspace)
    # Their numbers stay, even if code and data have changed since.
    if begun and _have_ended(begun.records.values(), begun.n_asked):
        _LOGGER.info(f"Re-evaluated before, in '{named.name}'.")
        return named.name
    try:
        place = find_data(named.base, workspace, data)
    except InputError as error:
        raise InputError(f"{error} Or pick without re-evaluation by --no-reevaluation.") from error
    console.print(f"{named.name}: {named.question}", style="bold", soft_wrap=True, markup=False)
    assert isinstance(named.plan, Design)
    n_configs, n_redraws = count_retrained(named.plan)
    console.print(
        f"{format_count(named.plan.size, 'trial')}: {_name_ranks(n_configs)} on "
        f"{format_count(named.plan.n_seeds, 'fresh seed')} and {format_count(n_redraws, 'redrawn split')}.",
        soft_wrap=True,
    )
    if begun:
        result = resume(workspace, named.name, console, resources, {}, data=place)
    else:
        named = replace(named, base=named.base.with_changes({"data.path": str(place)}))
        folder = study_folder(workspace, study)
        had = read_state(folder).resources if (folder / LEDGER_FILE).exists() else {}
        restored = restore_resources(had, resources)
        result = launch(named, workspace, restored, Limits(), console)
    if not _have_ended(result.records, result.n_asked):
        cause = f" {result.closing.message}" if result.closing.message else ""
        raise UnfinishedError(
            f"The re-evaluation was left before its end.{cause} Resume it by the same command, or pick "
            f"without it: 'adapert pick {in_workspace(workspace, study)} --no-reevaluation'.",
            result.closing,
        )
    return named.name


def _name_ranks(n_configs: int) -> str:
    return f"the configs of rank 1 to {n_configs}, each" if n_configs > 1 else "the config of rank 1"


def _find(wanted: Study, study: str, workspace: Path) -> tuple[Study, StudyState | None]:
    """Find the first re-evaluation with all of these trials, and its state; or a new one's next free name."""
    for number in count(1):
        name = name_reevaluation(study, number)
        folder = study_folder(workspace, name)
        if not (folder / LEDGER_FILE).exists():
            break
        begun = read_state(folder)
        if _identify_trials(wanted) <= _identify_trials(begun.study):
            return begun.study, begun
    return replace(wanted, name=name), None


def _identify_trials(study: Study) -> set[tuple[str, int]]:
    """Return config digest, which covers data and split, and seed of each trial."""
    return {(study.base.with_changes(each.changes).digest(), each.seed) for each in study.plan.assignments}


def _have_ended(records: Collection[TrialRecord], n_asked: int) -> bool:
    is_running = any(record.status == TrialStatus.RUNNING for record in records)
    return len(records) == n_asked and not is_running
