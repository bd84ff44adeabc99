"""Find what a user names: a study, or a trial by MLflow's id, by study and number, or by study alone."""

import re
from pathlib import Path

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.records import Tag
from adapert.results.ledger import LedgerResults
from adapert.results.study import StudyResults
from adapert.results.tracked import TrackedResults
from adapert.results.trial import TrialResult
from adapert.study.engine.events import TrialAsked
from adapert.study.engine.folders import explain_unknown, study_folder, study_names
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.plan.study import make_printable
from adapert.tracking.read import find_run, tag_of, tracked_names
from adapert.tracking.read import find_studies as find_tracked_studies
from adapert.tracking.store import has_store, tracking_uri

RUN_ID = re.compile(r"[0-9a-f]{32}")
TRIAL_NAME = re.compile(r"([^\W_][\w.-]*)/([0-9]+)")


def open_study(workspace: Path, name: str) -> StudyResults:
    """Read a study: from the workspace where it has its ledger, else from the workspace's MLflow store.

    Raises:
        InputError: No such study, a damaged ledger, or a store that cannot be read.
    """
    folder = study_folder(workspace, name)
    if (folder / LEDGER_FILE).is_file():
        return LedgerResults(folder)
    tracked = tracked_names(tracking_uri(workspace)) if has_store(workspace) else []
    if name in tracked:
        return TrackedResults(tracking_uri(workspace), name)
    raise explain_unknown(workspace, name, sorted({*study_names(workspace), *tracked}))


def open_beside(study: StudyResults, name: str) -> StudyResults | None:
    """Read another study from where one was read; None where that has no such study.

    Raises:
        InputError: A damaged ledger, or a store that cannot be read.
    """
    if isinstance(study, LedgerResults):
        folder = study.folder.parent / name
        return LedgerResults(folder) if (folder / LEDGER_FILE).is_file() else None
    if isinstance(study, TrackedResults):
        return TrackedResults(study.tracking_uri, name) if name in tracked_names(study.tracking_uri) else None
    return None


def is_study_name(name: str) -> bool:
    """Whether a name means a study, and not one trial."""
    return "/" not in name and not RUN_ID.fullmatch(name)


def find_trial(workspace: Path, name: str) -> tuple[StudyResults, TrialResult]:
    """Find a trial, and its study.

    Args:
        workspace: Workspace of the study.
        name: A run's id in MLflow, ``"search/007"``, or a study's name, which stands for its best finished
            trial.

    Raises:
        InputError: No such study, trial or run, a run of something else, no finished trial, or a name that
            cannot be a trial's.
    """
    if RUN_ID.fullmatch(name):
        return _find_run(workspace, name)
    if "/" not in name:
        results = open_study(workspace, name)
        return results, results.best_trial()
    named = TRIAL_NAME.fullmatch(name)
    if named is None:
        raise InputError(
            "A trial is named by its study and number, such as 'search/007', but it is "
            f"'{make_printable(name)}'. 'adapert status {in_workspace(workspace, 'STUDY')}' lists a study's "
            "trials."
        )
    results = open_study(workspace, named[1])
    return results, results.trial(named[2])


def find_studies(workspace: Path, config_digest: str) -> list[str]:
    """Name the studies that tried a config, the first to do so first; MLflow's where no ledger has it.

    Raises:
        InputError: A damaged ledger, or a store that cannot be read.
    """
    asked = {name: _time_asked(workspace, name, config_digest) for name in study_names(workspace)}
    times = {name: time for name, time in asked.items() if time is not None}
    if times or not has_store(workspace):
        return sorted(times, key=lambda name: times[name])
    return find_tracked_studies(tracking_uri(workspace), config_digest)


def _time_asked(workspace: Path, name: str, config_digest: str) -> float | None:
    ledger = study_folder(workspace, name) / LEDGER_FILE
    if config_digest.encode() not in ledger.read_bytes():  # a thousand times as fast as reading its lines
        return None
    times = [
        event.time
        for event in read_events(ledger)
        if isinstance(event, TrialAsked) and event.config_digest == config_digest
    ]
    return min(times, default=None)


def _find_run(workspace: Path, run_id: str) -> tuple[StudyResults, TrialResult]:
    """Find the trial of a run of MLflow."""
    for name in study_names(workspace):
        # Bytes first: parsing every ledger for one id would take seconds.
        if run_id.encode() in (study_folder(workspace, name) / LEDGER_FILE).read_bytes():
            results = LedgerResults(study_folder(workspace, name))
            # The study's own run stands for its best trial.
            of_run = [trial for trial in results.trials if trial.run_id == run_id]
            return results, of_run[0] if of_run else results.best_trial()
    run = find_run(tracking_uri(workspace), run_id)
    kind = tag_of(run, Tag.KIND)
    if kind not in ("study", "trial"):
        original = tag_of(run, Tag.ORIGINAL)
        cure = f"It repeats {original}: give that one." if original else "Name a study's trial."
        raise InputError(f"A run must be of a study's trial, but '{run_id}' is not. {cure}")
    study = open_study(workspace, tag_of(run, Tag.STUDY))
    return study, study.trial(tag_of(run, Tag.TRIAL)) if kind == "trial" else study.best_trial()
