"""Optuna behind Ray Tune: samplers, and honest ends of trials."""

from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from adapert.records import IS_OVER, OBJECTIVE
from adapert.study.study import Search


def build_sampler(plan: Search) -> BaseSampler:
    """Build a seeded sampler; TPE's options are pinned, since Optuna 5 changed their defaults."""
    if plan.sampler == "random":
        return RandomSampler(seed=plan.seed)
    n_startup = min(10, max(4, plan.n_trials // 3))
    return TPESampler(seed=plan.seed, n_startup_trials=n_startup, multivariate=True, constant_liar=True)


class AdaPertSearch(OptunaSearch):  # type: ignore[misc]
    """Tell Optuna how trials really ended.

    Ray's own class tells a trial that the scheduler stopped as COMPLETE with a partial value and holds
    its last report back, and a failed one may stay RUNNING.
    """

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell COMPLETE for a trial that ended by its own rules, PRUNED or FAIL for others."""
        if trial_id in self._completed_trials:
            return
        trial = self._ot_trials[trial_id]
        self._completed_trials.add(trial_id)
        if error or not result:
            self._ot_study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            return
        value = result[OBJECTIVE]
        trial.report(value, result["epoch"])
        if result.get(IS_OVER):
            self._ot_study.tell(trial, value, skip_if_finished=True)
        else:
            self._ot_study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)


def build_search(plan: Search, name: str, journal: Path) -> AdaPertSearch:
    """Build the searcher of a study; what it asks and is told is kept in a journal file."""
    return AdaPertSearch(
        space=dict(plan.space),
        metric=OBJECTIVE,
        mode="max",
        sampler=build_sampler(plan),
        study_name=name,
        storage=_open_journal(journal),
    )


def fail_rest(name: str, journal: Path) -> None:
    """Tell Optuna FAIL for trials that are still open: interrupted, or asked for in advance."""
    study = optuna.load_study(study_name=name, storage=_open_journal(journal))
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _open_journal(path: Path) -> JournalStorage:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return JournalStorage(JournalFileBackend(str(path)))
