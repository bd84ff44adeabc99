"""Compares MLflow's runs of a study with its ledger, and lists what to deliver so that MLflow has all of it.

The store is asked what it has; nothing is remembered. So a store that was lost, emptied or restored from an
older backup is filled again, and nothing that it has is delivered twice.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from adapert.config import build_config
from adapert.errors import InputError
from adapert.records import CODE_DIFF_FILE, CONFIG_FILE, ORIGIN_FILE, Tag, trained_on
from adapert.study.engine.events import Event, TrialAsked
from adapert.study.engine.folders import (
    FIGURES_FOLDER,
    FINDINGS_FILE,
    PICK_FILE,
    PICKED_MODEL_FOLDER,
    REPORT_FILE,
)
from adapert.study.engine.state import StudyState, fold
from adapert.study.engine.trial_files import trial_folder
from adapert.study.plan.study import Study
from adapert.tracking.expected import NOTE, STUDY, ExpectedRun, expect_changes, expect_runs
from adapert.tracking.runs import (
    BEST_CONFIG_FILE,
    EVALUATION_FILES,
    FIGURES,
    MAX_TAG,
    REPORT_FOLDER,
    RESULT_FILES,
    Runs,
    has_file,
    is_local,
    milliseconds,
    picked_by,
    run_status,
)
from adapert.tracking.summary import escape_markdown, put_first

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

Job = Callable[[], Any]


@dataclass(frozen=True)
class Delivery:
    """What a run lacks.

    Attributes:
        n_lines: Lines of the ledger that wait for it.
        jobs: What to do, in order; each may be repeated.
    """

    n_lines: int
    jobs: Sequence[Job]


class Models(Protocol):
    """Keeps the model of a picked config with its study's run (`adapert.prediction.logged`)."""

    def has(self, client: "MlflowClient", run: "Run", folder: Path) -> bool:
        """Whether a study's run has the model of a bundle's folder."""

    def log(self, client: "MlflowClient", run_id: str, folder: Path) -> None:
        """Log it."""


class Mirror:
    """What MLflow lacks of a study."""

    def __init__(self, study: Study, runs: Runs, folder: Path, models: Models | None = None) -> None:
        """Compare nothing yet; without `models` the picked model is left out."""
        self._study, self._runs, self._folder, self._models = study, runs, folder, models

    def find_missing(self, events: Sequence[Event]) -> list[Delivery]:
        """Ask the store what it has.

        Returns:
            A delivery for each run that lacks something; the study's own run is made first, and ended last.

        Raises:
            NotYetError: The store does not answer.
        """
        expected = expect_runs(self._study, events)
        found = self._runs.find_all(self._study.name, {trial: run.at for trial, run in expected.items()})
        parent, own = expected.pop(STUDY), found.get(STUDY)
        made = list(self._of_creation(parent, own))
        rest = [
            *self._of_content(parent, own),
            *self._of_origin(parent, fold(events[:1]).definition.origin, own),
            *self._of_best(parent, own),
            *self._of_evaluations(events, own),
            *self._of_shown(own),
            *self._of_pick(own),
            *self._of_findings(own),
            *self._of_end(parent, own),
        ]
        model = list(self._of_model(own))
        # Trials' runs name the study's own run as their parent, so it comes first; its end comes last.
        deliveries = [Delivery(0, made)] if made else []
        for trial, run in expected.items():
            has = found.get(trial)
            jobs = [
                *self._of_creation(run, has),
                *self._of_content(run, has),
                *self._of_results(run, has),
                *self._of_end(run, has),
            ]
            deliveries += [Delivery(run.n_lines, jobs)] if jobs else []
        deliveries += [Delivery(parent.n_lines, rest)] if made or rest else []
        return [*deliveries, Delivery(0, model)] if model else deliveries

    def deliver_line(self, event: Event, state: StudyState) -> list[Job]:
        """List the jobs of one new line, whose runs are in the store up to the one before; `state` has it."""
        jobs: list[Job] = []
        for run in expect_changes(self._study, event, state):
            if run.name:
                jobs += self._of_creation(run, None)
                jobs += self._of_origin(run, state.definition.origin, None) if run.trial == STUDY else ()
            elif not run.points and run.ended_at is None:
                jobs.append(partial(self._runs.reopen, run.trial))
            else:
                jobs += self._of_points(run)
            if run.ended_at is not None:
                best = self._of_best(run, None) if run.trial == STUDY else ()
                jobs += [self._runs.flush, *self._of_results(run, None), *best, *self._of_end(run, None)]
        return jobs

    def _of_creation(self, run: ExpectedRun, found: "Run | None") -> Iterator[Job]:
        """The run itself, its tags, its data set and, of a trial, its config."""
        if found is None:
            note = {NOTE: escape_markdown(self._study.question)} if run.trial == STUDY else {}
            yield partial(self._runs.create, run.trial, run.name, run.tags | note, run.at)
        elif found.info.lifecycle_stage == "deleted":
            yield partial(self._runs.restore, run.trial)
        if found is not None:
            yield from self._of_tags(run, found)
        if found is None or not found.inputs.dataset_inputs:
            config = self._study.base.with_changes(run.changes or {})
            yield partial(self._runs.log_data, run.trial, config)
        if run.trial != STUDY:
            yield from self._of_config(run, found)

    def _of_tags(self, run: ExpectedRun, found: "Run") -> Iterator[Job]:
        wanted = {name: value for name, value in run.tags.items() if name != Tag.STATUS}
        if run.trial != STUDY:
            wanted["mlflow.parentRunId"] = self._runs.run_id(STUDY)
        if wanted.items() - found.data.tags.items():
            # Read again when the job runs: the study's own run may have been made by then.
            yield partial(self._runs.set_tags, run.trial, wanted)

    def _of_config(self, run: ExpectedRun, found: "Run | None") -> Iterator[Job]:
        config = self._study.base.with_changes(run.changes or {})
        has_params = found is not None and set(config.settings()) <= set(found.data.params)
        has_config = found is not None and self._has_file(run, found, CONFIG_FILE)
        if not has_params:
            yield partial(self._runs.log_params, run.trial, config)
        if not has_config:
            yield partial(self._runs.keep_text, run.trial, config.to_yaml(), CONFIG_FILE)

    def _of_content(self, run: ExpectedRun, found: "Run | None") -> Iterator[Job]:
        has = {} if found is None else found.data.metrics
        if any(not _is_same(value, has.get(name)) for name, value in run.latest.items()):
            yield from self._of_points(run)
            yield self._runs.flush

    def _of_points(self, run: ExpectedRun) -> Iterator[Job]:
        for values, step, at in run.points:
            yield partial(self._runs.log_metrics, run.trial, values, step, at)

    def _of_results(self, run: ExpectedRun, found: "Run | None") -> Iterator[Job]:
        if run.reason is None:
            return
        folder = trial_folder(self._folder, run.trial)
        for path in (folder / name for name in RESULT_FILES):
            if path.is_file() and not (found and self._has_file(run, found, path.name, path)):
                yield partial(self._runs.keep_file, run.trial, path)

    def _of_origin(self, run: ExpectedRun, origin: Mapping[str, Any], found: "Run | None") -> Iterator[Job]:
        if not (found and self._has_file(run, found, ORIGIN_FILE)):
            yield partial(self._runs.keep_text, STUDY, json.dumps(dict(origin), indent=2), ORIGIN_FILE)
        diff = self._folder / CODE_DIFF_FILE
        if diff.is_file() and not (found and self._has_file(run, found, diff.name, diff)):
            yield partial(self._runs.keep_file, STUDY, diff)

    def _of_best(self, run: ExpectedRun, found: "Run | None") -> Iterator[Job]:
        if run.changes is not None:
            best = self._study.base.with_changes(run.changes).to_yaml()
            if not (found and self._has_file(run, found, BEST_CONFIG_FILE, best)):
                yield partial(self._runs.keep_text, STUDY, best, BEST_CONFIG_FILE)

    def _has_file(self, run: ExpectedRun, found: "Run", name: str, like: Path | str | None = None) -> bool:
        """Whether a run has a file; on a server, a run that has its end was given all files before it."""
        if is_local(found):
            return has_file(found, name, like)
        return run.ended_at is not None and self._has_end(run, found)

    def _of_evaluations(self, events: Sequence[Event], found: "Run | None") -> Iterator[Job]:
        """Evaluations of the study's configs whose process ended between their files and MLflow."""
        digests = {event.config_digest for event in events if isinstance(event, TrialAsked)}
        evaluations = self._folder.parents[1] / "evaluations"
        n_accesses = 0
        for folder in sorted(evaluations.glob("*/")):
            opened = _read_opened(folder, self._study, digests)
            if opened is None:
                continue
            if trained_on(opened) == opened.get("data_fingerprint"):  # else the test split was another's
                of_study = opened.get("numbers", {}).get(self._study.name, opened.get("number"))
                n_accesses = max(n_accesses, int(of_study or 0))
            for name in EVALUATION_FILES:
                kept = f"evaluation/{folder.name}/{name}"
                if not (found and self._runs.has_artifact(found, kept)):
                    yield partial(self._runs.keep_file, STUDY, folder / name, f"evaluation/{folder.name}")
        said = "" if found is None else found.data.tags.get(Tag.TEST_OPENINGS, "")
        if n_accesses > int(said or 0):
            yield partial(self._runs.set_tags, STUDY, {Tag.TEST_OPENINGS: str(n_accesses)})

    def _of_shown(self, found: "Run | None") -> Iterator[Job]:
        """Figures and the report as they were last drawn."""
        shown = [(path, FIGURES) for path in sorted((self._folder / FIGURES_FOLDER).glob("[!.]*.png"))]
        page = self._folder / REPORT_FILE
        for path, kept in [*shown, *([(page, REPORT_FOLDER)] if page.is_file() else [])]:
            if not (found and self._runs.has_artifact(found, f"{kept}/{path.name}", path)):
                yield partial(self._runs.keep_file, STUDY, path, kept)

    def _of_pick(self, found: "Run | None") -> Iterator[Job]:
        try:
            pick = json.loads((self._folder / PICK_FILE).read_text(encoding="utf-8"))
            said = picked_by(pick["objective"], pick["reevaluation"])
        except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged file
            return
        if said != ("" if found is None else found.data.tags.get(Tag.PICKED_BY)):
            yield partial(self._runs.set_tags, STUDY, {Tag.PICKED_BY: said})

    def _of_findings(self, found: "Run | None") -> Iterator[Job]:
        """Findings as they were last gathered, before what the run's description says already."""
        findings = self._read_findings()
        said = "" if found is None else found.data.tags.get(NOTE, "")
        if findings and found is not None and not said.startswith(findings):
            yield partial(self._runs.set_tags, STUDY, {NOTE: put_first(findings, said)})

    def _read_findings(self) -> str:
        file = self._folder / FINDINGS_FILE
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def _of_model(self, found: "Run | None") -> Iterator[Job]:
        folder = self._folder / PICKED_MODEL_FOLDER
        if self._models is None or not folder.is_dir():
            return
        if found is None or not self._models.has(self._runs.client, found, folder):
            yield partial(self._runs.keep_model, self._models.log, folder)

    def _of_end(self, run: ExpectedRun, found: "Run | None") -> Iterator[Job]:
        if run.ended_at is None:
            if found is not None and not self._has_end(run, found):
                yield partial(self._runs.reopen, run.trial)
            return
        if found is None or not _has_end_tags(run, found):
            tags = {**run.end_tags, Tag.STATUS: run.status}
            if run.trial == STUDY and NOTE in tags and (findings := self._read_findings()):
                tags[NOTE] = put_first(findings, tags[NOTE])
            yield partial(self._runs.set_tags, run.trial, tags)
        if found is None or not self._has_end(run, found):
            yield partial(self._runs.terminate, run.trial, run.status, run.ended_at, run.reason)

    def _has_end(self, run: ExpectedRun, found: "Run") -> bool:
        ended_at = None if run.ended_at is None else milliseconds(run.ended_at)
        is_ended_so = found.info.status == run_status(run.status, run.reason)
        return is_ended_so and (found.info.end_time or None) == ended_at and _has_end_tags(run, found)


def _has_end_tags(run: ExpectedRun, found: "Run") -> bool:
    tags = {name: value for name, value in run.end_tags.items() if name != NOTE} | {Tag.STATUS: run.status}
    return all(found.data.tags.get(name, "") == value[:MAX_TAG] for name, value in tags.items())


def _is_same(value: float, stored: float | None) -> bool:
    if stored is None or math.isnan(value):
        # A diverged trial's NaN is what the store should have: NaN equals NaN here.
        return stored is not None and math.isnan(stored)
    # MLflow's databases keep an infinite value as the largest finite one.
    return min(max(value, -sys.float_info.max), sys.float_info.max) == stored


def _read_opened(folder: Path, study: Study, digests: set[str]) -> Mapping[str, Any] | None:
    """What an evaluation opened; None where it is not of this study, or not written whole."""
    if study.plan.kind == "reevaluation":
        return None  # its configs are those of the study that was searched
    try:
        record = json.loads((folder / EVALUATION_FILES[-1]).read_text(encoding="utf-8"))
        opened: Mapping[str, Any] = record["opened"]
        named = opened.get("study")
        is_of_study = (
            build_config(record["config"]).digest() in digests
            if named is None
            else study.name in opened.get("numbers", [named])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
        return None
    return opened if is_of_study else None
