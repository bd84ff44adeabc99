"""What the shell completes: studies, trials, recipes, models and fields, without slow imports."""

from pathlib import Path

import typer

MOST_COMPLETED = 1000
"""Names of trials; no terminal shows more."""


def complete_study(context: typer.Context, incomplete: str) -> list[str]:
    """Name the studies of the workspace that the command line names so far."""
    from adapert.study.engine.folders import study_names

    return [name for name in study_names(_workspace(context)) if name.startswith(incomplete)]


def complete_trial(context: typer.Context, incomplete: str) -> list[str]:
    """Name studies; behind a study's name and a slash, its trials, ``search/007``."""
    from adapert.study.engine.trial_files import TRIALS_FOLDER

    study, slash, trial = incomplete.partition("/")
    if not slash:
        return complete_study(context, incomplete)
    if study not in complete_study(context, study):
        return []
    folder = _workspace(context) / "studies" / study / TRIALS_FOLDER
    trials = sorted(path.name for path in folder.glob(f"{trial}*"))
    return [f"{study}/{name}" for name in trials[:MOST_COMPLETED]]


def complete_trial_of_study(context: typer.Context, incomplete: str) -> list[str]:
    """Name the trials of the study that the command line names, ``007``."""
    study = context.params.get("study") or ""
    return [name.partition("/")[2] for name in complete_trial(context, f"{study}/{incomplete}")]


def complete_recipe(incomplete: str) -> list[str]:
    """Name recipes; their own files are completed by the shell."""
    import pkgutil

    import studies

    # None of them is imported, nor what looks after them: that takes half a second.
    names = sorted(["peers", *(module.name for module in pkgutil.iter_modules(studies.__path__))])
    return [name for name in names if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Name models."""
    from adapert.config import model_names

    return [name for name in model_names() if name.startswith(incomplete)]


def complete_field(incomplete: str) -> list[str]:
    """Name fields of the config, each with the sign before its value."""
    from adapert.config import Config

    return [f"{name}=" for name in Config().flat() if name.startswith(incomplete)]


def _workspace(context: typer.Context) -> Path:
    return Path(context.params.get("workspace") or "runs")
