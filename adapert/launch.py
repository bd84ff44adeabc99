"""Launch a study in a workspace: its folder, its runs in MLflow, its progress in the terminal."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from adapert.config import Config, read_config
from adapert.data.prepared import read_manifest, read_prepared
from adapert.errors import InputError
from adapert.files import write_whole
from adapert.records import Tag, TrialStatus
from adapert.study.progress import Progress, format_seconds
from adapert.study.resources import Resources
from adapert.study.run import StudyResult, deferred_interrupt, run_study
from adapert.study.study import Design, Search, Study
from adapert.tracking.store import open_store
from adapert.tracking.tracker import Tracker

PROBE_EPOCHS = 3

START_SECONDS = 10
"""Of Ray and its workers' imports, about."""


def build_base(data: Path | None, config: Path | None, changes: Mapping[str, Any]) -> Config:
    """Build a study's base config: a config file or the defaults, a data set, and changes on top.

    Args:
        data: Prepared data set; None takes the one that the config file names.
        config: YAML file; None is the defaults.
        changes: Dotted fields.

    Raises:
        InputError: No data set is named, or one of another fingerprint than the config's; or a wrong field.
    """
    base = read_config(config) if config else Config()
    path = data or (Path(base.data.path) if base.data.path else None)
    if path is None:
        raise InputError("A study needs a prepared data set, but none was named. Give --data DIR.")
    fingerprint = read_manifest(path)["fingerprint"]
    if data is None and base.data.fingerprint != fingerprint:
        raise InputError(
            f"'{config}' was picked on data of fingerprint {base.data.fingerprint}, but '{path}' now has "
            f"{fingerprint}. Name the data set to use with --data DIR."
        )
    return base.with_changes({**changes, "data.path": str(path.resolve()), "data.fingerprint": fingerprint})


def study_folder(workspace: Path, name: str) -> Path:
    """Folder of a study, absolute."""
    return workspace.resolve() / "studies" / name


def check_new(study: Study, workspace: Path) -> None:
    """Refuse a name that the workspace has.

    Raises:
        InputError: A study of this name exists.
    """
    if study_folder(workspace, study.name).exists():
        raise InputError(
            f"A study's name must be new in its workspace, but '{study.name}' exists in '{workspace}'. "
            "Give another --workspace, or launch it under another --name."
        )


def check_rows(study: Study) -> None:
    """Refuse cells as training rows where the data set has none, before any trial is spent.

    Raises:
        InputError: A config of the study has ``data.control: "cell"``, but the data are responses.
    """
    changes = study.plan.variants.values() if isinstance(study.plan, Design) else [{}]
    configs = [study.base.with_changes(change) for change in changes]
    is_responses = read_manifest(Path(study.base.data.path))["kind"] == "responses"
    if is_responses and any(config.data.control == "cell" for config in configs):
        raise InputError(
            "data.control 'cell' needs single cells, but the data set was prepared from responses. "
            "Use 'mean'."
        )


def launch(study: Study, workspace: Path, resources: Resources, console: Console) -> StudyResult:
    """Run a study in a workspace, tracked and shown.

    Args:
        study: What to run.
        workspace: Where the store and the study's folder lie; made where missing.
        resources: What the study may use.
        console: Where progress is shown.

    Raises:
        InputError: A study of this name exists.
    """
    check_new(study, workspace)
    check_rows(study)
    folder = study_folder(workspace, study.name)
    folder.mkdir(parents=True)
    write_whole(folder / "study.json", json.dumps(describe_study(study), indent=2, default=str))
    client, experiment_id = open_store(workspace)
    tracker: Tracker | None = None
    status, summary = TrialStatus.FAILED, {}
    try:
        with deferred_interrupt():  # A run that is in the store must be closed.
            tracker = Tracker(client, experiment_id, _parent_tags(study), folder / "trials")
        with Progress(console, study.n_trials, study.base.training.max_epochs) as progress:
            result = run_study(study, folder, resources, [tracker, progress])
        status = TrialStatus.INTERRUPTED if result.is_interrupted else TrialStatus.FINISHED
        summary = {f"n_{end}": float(result.count(end)) for end in TrialStatus if end != TrialStatus.RUNNING}
        summary["trial_hours"] = sum(r.metrics.get("total_seconds", 0.0) for r in result.records) / 3600
    except KeyboardInterrupt:
        status = TrialStatus.INTERRUPTED
        raise
    finally:
        if tracker:
            tracker.close(status, summary)
    for failure in tracker.failures[:3]:
        console.print(f"Tracking: {failure}", soft_wrap=True, markup=False)
    return result


def estimate_seconds(study: Study, resources: Resources) -> float:
    """Estimate a study's wall time from a few epochs of its base config, trained here and now.

    An upper bound, about: trials that are stopped early make it shorter.
    """
    import torch

    from adapert.models.protocol import TrainedInEpochs
    from adapert.registry import build_model
    from adapert.training.fit import begin_fit

    torch.set_num_threads(resources.cpus_per_trial)
    started = time.perf_counter()
    dataset = read_prepared(Path(study.base.data.path))
    probe = study.base.with_changes({"training.max_epochs": PROBE_EPOCHS})
    model = build_model(probe, seed=0, device=torch.device(resources.device))
    fit = begin_fit(model, dataset)
    built = time.perf_counter() - started
    seconds = []
    while not fit.is_over:
        seconds.append(fit.step()["seconds"])
    n_epochs = study.base.training.max_epochs if isinstance(model, TrainedInEpochs) else 1
    # The first epoch also warms caches up.
    a_trial = built + min(seconds) * n_epochs
    return START_SECONDS + study.n_trials * a_trial / resources.n_at_once


def describe_study(study: Study) -> dict[str, Any]:
    """List a study's definition in words and numbers, for its folder and for a dry run."""
    plan = study.plan
    described = asdict(replace(plan, space={})) if isinstance(plan, Search) else asdict(plan)
    if isinstance(plan, Search):
        described["space"] = {name: str(distribution) for name, distribution in plan.space.items()}
    return {
        "name": study.name,
        "question": study.question,
        "kind": plan.kind,
        "n_trials": study.n_trials,
        "plan": described,
        "base": study.base.flat(),
    }


def print_plan(study: Study, seconds: float, console: Console) -> None:
    """Print what a study would run, and for how long."""
    console.print(f"{study.name}: {study.question}", style="bold", soft_wrap=True, markup=False)
    console.print(f"{study.n_trials} trials of at most {study.base.training.max_epochs} epochs")
    if isinstance(study.plan, Design):
        console.print(f"{len(study.plan.variants)} variants x {study.plan.n_seeds} seeds:")
        for name, changes in study.plan.variants.items():
            described = ", ".join(f"{field} = {value}" for field, value in changes.items())
            console.print(f"  {name}: {described or 'no change'}", soft_wrap=True)
    else:
        console.print(f"sampler {study.plan.sampler}, seed {study.plan.seed}, over:")
        for name, distribution in study.plan.space.items():
            console.print(f"  {name}: {distribution}", soft_wrap=True)
    console.print(f"at most about {format_seconds(seconds)}, by a probe of {PROBE_EPOCHS} epochs")


def _parent_tags(study: Study) -> dict[str, str]:
    return {
        Tag.STUDY: study.name,
        Tag.DESIGN: study.plan.kind,
        Tag.STATUS: TrialStatus.RUNNING,
        Tag.DATA_FINGERPRINT: study.base.data.fingerprint,
        "mlflow.note.content": study.question,
    }
