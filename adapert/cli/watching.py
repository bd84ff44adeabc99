"""The commands ls, status and watch: studies and their trials, once or for as long as they run."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import RenderableType
from rich.live import Live

from adapert.cli.as_json import describe_study, describe_trials, print_json
from adapert.cli.completion import complete_study
from adapert.cli.options import AsJson, StudyName, Workspace
from adapert.cli.printing import console, print_error
from adapert.commands import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from adapert.workspace.status import StudyStatus

PAUSE_SECONDS, PAUSE_PER_LOOK = 1.0, 4.0
"""Between two looks, at least; and per second that a look takes, so that watching never costs a core."""

Seen = TypeVar("Seen")


def ls(
    workspace: Annotated[
        Path,
        typer.Option("--workspace", help="Directory of the studies, or a folder of several workspaces."),
    ] = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """List studies: kind, state, trials, best value.

    From any terminal, while studies run or long after.
    """
    from adapert.workspace.status import build_studies_table, read_statuses

    statuses, faults = read_statuses(workspace)
    if as_json:
        print_json({"studies": [describe_study(each) for each in statuses], "unreadable": faults})
    elif statuses or not faults:
        console.print(build_studies_table(statuses) if statuses else f"'{workspace}' has no study yet.")
    for fault in faults:
        print_error(fault)
    if faults:
        raise typer.Exit(2)


def status(study: StudyName, workspace: Workspace = DEFAULT_WORKSPACE, as_json: AsJson = False) -> None:
    """List a study's trials: state, hyperparameters, epoch, best value, seconds.

    From any terminal, while the study runs or long after. Live: 'adapert watch STUDY'.
    """
    from adapert.workspace.status import build_trials_table, describe_status, read_status

    read = read_status(workspace, study)
    if as_json:
        print_json(describe_study(read) | {"trials": describe_trials(read)})
        return
    for line in describe_status(read):
        console.print(line, soft_wrap=True)
    console.print(build_trials_table(read))


def watch(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY", help="Name of a study; default: all studies.", autocompletion=complete_study
        ),
    ] = None,
    workspace: Annotated[
        Path,
        typer.Option(
            "--workspace",
            help="Directory of the studies; of all studies, also a folder of several workspaces.",
        ),
    ] = DEFAULT_WORKSPACE,
) -> None:
    """Show a running study's live table, or all studies, from another terminal until nothing runs.

    Ctrl-C ends only the watching.
    """
    if study is None:
        _watch_studies(workspace)
        ls(workspace)
    else:
        _watch_trials(workspace, study)
        status(study, workspace)


def _watch_studies(workspace: Path) -> None:
    from adapert.workspace.status import build_studies_table, read_statuses

    _watch(
        lambda: read_statuses(workspace)[0],
        lambda statuses: any(each.is_running for each in statuses),
        build_studies_table,
    )


def _watch_trials(workspace: Path, study: str) -> None:
    from adapert.workspace.progress import Progress
    from adapert.workspace.status import read_status

    progress = Progress(console, read_status(workspace, study).state)

    def draw(seen: "StudyStatus") -> RenderableType:
        progress.state = seen.state
        return progress.render()

    _watch(lambda: read_status(workspace, study), lambda seen: seen.is_running, draw)


def _watch(
    read: Callable[[], Seen], is_running: Callable[[Seen], bool], draw: Callable[[Seen], RenderableType]
) -> None:
    """Draw what is read again and again until nothing runs, or Ctrl-C; nothing where there is no terminal."""
    with suppress(KeyboardInterrupt), Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            seen = read()
            live.update(draw(seen), refresh=True)
            if not is_running(seen):
                return
            time.sleep(max(PAUSE_SECONDS, PAUSE_PER_LOOK * (time.monotonic() - began)))
