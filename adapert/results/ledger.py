"""A study as the workspace has it: its ledger, and what its trials left in their folders."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.commands import in_workspace
from adapert.config import Config, build_config
from adapert.errors import InputError
from adapert.files import write_whole
from adapert.records import CODE_DIFF_FILE, TrialRecord, TrialStatus
from adapert.results.study import PickRecord, StudyResults
from adapert.results.trial import TrialResult
from adapert.study.engine.events import EpochReported
from adapert.study.engine.folders import PICK_FILE, PICKED_MODEL_FOLDER
from adapert.study.engine.ledger import read_running
from adapert.study.engine.state import StudyState, fold
from adapert.study.engine.trial_files import trial_folder

PICK_FORMAT = 1


class LedgerResults(StudyResults):
    """A study of a workspace."""

    state: StudyState

    def __init__(self, folder: Path) -> None:
        """Read a study's ledger.

        Raises:
            InputError: No ledger, or a damaged one.
        """
        self.folder, self.name = folder, folder.name
        self._events, self._is_running = read_running(folder)
        self.state = fold(self._events)
        definition = self.state.definition
        self.question = str(definition.study["question"])
        self.started_at, self.wall_seconds = definition.time, self.state.seconds
        self.fingerprint = str(definition.study["base"].get("data.fingerprint", ""))
        self.git_commit, self.packages = definition.git_commit, definition.packages
        self.run_id = self.state.run_ids.get("", "")

    @property
    def design(self) -> str:
        """What it was made for."""
        return str(self.state.definition.study["plan"]["kind"])

    @property
    def status(self) -> str:
        """Where it stands."""
        if self.state.closed is not None:
            return str(self.state.closed.status)
        return str(TrialStatus.RUNNING if self._is_running else TrialStatus.INTERRUPTED)

    @property
    def how_to_finish(self) -> str:
        """Advice on how to get a finished trial, in a sentence."""
        named = in_workspace(self.folder.parents[1], self.name)
        if self.status == TrialStatus.RUNNING:
            return f"Wait for its first: 'adapert status {named}'."
        if self.status in (TrialStatus.INTERRUPTED, TrialStatus.STOPPED):
            return f"Continue it: adapert resume {named}"
        return f"See why with 'adapert status {named}', or launch it again under another name."

    @property
    def origin(self) -> Mapping[str, Any]:
        """Fingerprints of its code and packages."""
        return self.state.definition.origin

    @property
    def code_diff(self) -> str:
        """How its code differed from the commit."""
        path = self.folder / CODE_DIFF_FILE
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def picked(self) -> PickRecord | None:
        """How its config was last picked."""
        path = self.folder / PICK_FILE
        if not path.is_file():
            return None
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            if said["format"] == PICK_FORMAT:
                return PickRecord(said["objective"], said["reevaluation"])
        except (ValueError, KeyError, TypeError):
            pass
        raise InputError(
            f"'{path}' must say how a config was picked, in format {PICK_FORMAT}, but does not. Run "
            "'adapert pick' again."
        )

    @cached_property
    def trials(self) -> Sequence[TrialResult]:
        """Every trial."""
        return [self._result_of(record) for record in self.state.records.values()]

    def read_histories(self, metrics: Sequence[str]) -> pd.DataFrame:
        """Read what trials reported epoch by epoch."""
        reports: dict[str, list[EpochReported]] = {trial.trial_id: [] for trial in self.trials}
        for event in self._events:
            if isinstance(event, EpochReported):
                reports[event.trial].append(event)
        rows = [
            (f"{self.name}/{trial}", metric, event.epoch, event.metrics[metric])
            for trial, of_trial in reports.items()
            for metric in metrics
            for event in of_trial
            if metric in event.metrics
        ]
        return pd.DataFrame(rows, columns=["run", "metric", "epoch", "value"])

    def file(self, trial: TrialResult, name: str) -> AbstractContextManager[Path]:
        """Give the path of a file that a trial left."""
        path = trial_folder(self.folder, trial.trial_id) / name
        if not path.is_file():
            raise InputError(
                f"Trial '{trial.name}' ended as {trial.status} and should have left '{path}', but the file "
                "is not there. Put it back, or name another trial."
            )
        return nullcontext(path)

    def picked_model(self) -> AbstractContextManager[Path] | None:
        """Give the folder with the bundle of its picked config's model."""
        folder = self.folder / PICKED_MODEL_FOLDER
        return nullcontext(folder) if folder.is_dir() else None

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """What stands in a trial's config for what its model does not read."""
        return Config().flat()

    @cached_property
    def _base(self) -> Config:
        return build_config(self.state.definition.study["base"])

    def _result_of(self, record: TrialRecord) -> TrialResult:
        is_left = record.status == TrialStatus.RUNNING and self.status != TrialStatus.RUNNING
        return TrialResult(
            study=self.name,
            trial_id=record.trial_id,
            variant=record.variant,
            seed=record.seed,
            status=TrialStatus.INTERRUPTED if is_left else record.status,
            reason=str(record.reason or ""),
            message=record.message,
            host=record.host,
            config_digest=record.config_digest,
            config=self._defaults | self._base.with_changes(record.changes).settings(),
            metrics=record.metrics,
            device=record.device,
            n_threads=record.n_threads,
            n_slots=record.n_slots,
            git_commit=self.git_commit,
            packages=self.packages,
            run_id=self.state.run_ids.get(record.trial_id, ""),
        )


def write_pick(folder: Path, picked: PickRecord) -> None:
    """Write how a study's config was picked into the study's folder."""
    said = {"format": PICK_FORMAT, "objective": picked.objective, "reevaluation": picked.reevaluation}
    write_whole(folder / PICK_FILE, json.dumps(said))
