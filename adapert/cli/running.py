"""How commands run studies, one or several, and how they end."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adapert.cli.entry import INTERRUPTED, RAY_LOST, exit_status
from adapert.cli.printing import LIBRARY, console, print_error, progress
from adapert.commands import in_workspace
from adapert.errors import format_count

if TYPE_CHECKING:
    from adapert.selection.rank import Pick
    from adapert.study.execution.resources import Resources
    from adapert.study.plan.study import Study
    from adapert.workspace.session import StudyResult


def run_or_resume(
    study: "Study", workspace: Path, resources: "Resources", recipe: str, **options: Any
) -> int:
    """Run or continue one of several studies; return its number of failed trials.

    Raises:
        typer.Exit: It was left before its end: the next study needs every trial.
    """
    from adapert.records import TrialStatus

    result = run_study(study, workspace, resources, recipe, **options)
    print_result(result, workspace)
    status = exit_status(result.closing)
    # Interrupted, Ray was lost, or the disk is full.
    if status in (INTERRUPTED, RAY_LOST) or result.count(TrialStatus.RUNNING):
        console.print("Or repeat this command, which continues with all that is left.")
        raise typer.Exit(status or 1)
    return result.count(TrialStatus.FAILED)


def run_pick(search: str, workspace: Path, **options: Any) -> "Pick":
    """Pick the best config of a search, with progress shown; options as in `adapert.api.pick`.

    Raises:
        InputError: As `adapert.api.pick`.
        typer.Exit: The retraining was left before its end.
    """
    from adapert.api import pick as pick_config
    from adapert.selection.reevaluate import UnfinishedError

    try:
        return pick_config(search, workspace, console=progress(), **options)
    except UnfinishedError as error:
        print_error(str(error))
        raise typer.Exit(exit_status(error.closing) or 1) from error


def run_study(
    study: "Study", workspace: Path, resources: "Resources", recipe: str, **options: Any
) -> "StudyResult":
    """Print a study's question and what weakens it, and run it; options as in `adapert.api.launch`."""
    from adapert.api import launch as launch_study
    from adapert.workspace.launch import warn_of_comparisons

    shown = progress()
    shown.print(f"{study.name}: {study.question}", style="bold", soft_wrap=True)
    for warning in warn_of_comparisons(study):
        LIBRARY.warning(f"{study.name}: {warning}")
    return launch_study(
        study, workspace=workspace, resources=resources, console=shown, recipe=recipe, **options
    )


def print_study(study: "Study", resources: "Resources") -> None:
    """Print what a study would try, how long that takes, and what its comparisons can detect."""
    from adapert.workspace.launch import describe_comparisons, estimate_seconds, print_plan

    print_plan(study, estimate_seconds(study, resources), console)
    for line in describe_comparisons(study):
        console.print(line, soft_wrap=True, markup=False)


def finish(result: "StudyResult", workspace: Path) -> None:
    """Print how a study ended, and exit accordingly."""
    from adapert.records import TrialStatus

    print_result(result, workspace)
    status = exit_status(result.closing)
    if status in (INTERRUPTED, RAY_LOST):
        raise typer.Exit(status)
    if result.count(TrialStatus.FINISHED):
        console.print(f"Next: {command_line(workspace, *_next_words(result.study))}", soft_wrap=True)
    if status or result.count(TrialStatus.FAILED):
        raise typer.Exit(1)


def _next_words(study: "Study") -> list[str]:
    """The command that reads what a study was made for."""
    from adapert.selection.decide import SUFFIX

    searched = {"search": study.name, "reevaluation": study.name.partition(SUFFIX)[0]}.get(study.plan.kind)
    if searched:
        return ["pick", searched]
    if study.plan.form == "design" and len(study.plan.variants_changes) == 1:
        return ["predict", study.name, "GENE"]
    return ["figures", study.name]


def print_result(result: "StudyResult", workspace: Path) -> None:
    """Print how a process left a study, and how to continue it."""
    from collections import Counter

    from adapert.records import TrialStatus
    from adapert.workspace.progress import format_seconds

    name = result.study.name
    trials = result.describe_ends()
    said = (
        f"{name} had ended, with {trials}: there was nothing to do."
        if result.had_ended
        else f"{name}: {trials} in {format_seconds(result.seconds)}."
    )
    console.print(said, soft_wrap=True)
    if result.closing.message:
        console.print(result.closing.message, soft_wrap=True)
    failures = Counter(r.message for r in result.records if r.status == TrialStatus.FAILED)
    for message, count in failures.most_common(5):
        console.print(f"{count} failed: {message}", soft_wrap=True)
    is_left = any(record.status == TrialStatus.RUNNING for record in result.records)
    if is_left or result.closing.is_left:
        console.print(f"Continue with: {command_line(workspace, 'resume', name)}", soft_wrap=True)
    if result.trouble:
        console.print(f"Tracking: {result.trouble}", soft_wrap=True)
    if result.n_undelivered:
        sync_it = command_line(workspace, "sync", name)
        line = f"MLflow lacks {format_count(result.n_undelivered, 'line')}. Deliver with: {sync_it}"
        console.print(line, soft_wrap=True)


def command_line(workspace: Path, *words: str) -> str:
    """Build a command line that can be copied."""
    return f"adapert {in_workspace(workspace, *words)}"
