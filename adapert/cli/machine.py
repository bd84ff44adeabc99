"""The command doctor."""

import typer

from adapert.cli.options import Data, Workspace
from adapert.cli.printing import console, progress
from adapert.commands import DEFAULT_WORKSPACE


def doctor(data: Data = None, workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Check machine, packages, store, data and studies: what is wrong, and how to fix it."""
    from adapert.doctor.examine import examine
    from adapert.doctor.findings import build_table, has_problem

    with progress().status("Examining"):
        findings = examine(data, workspace)
    console.print(build_table(findings))
    if has_problem(findings.values()):
        raise typer.Exit(1)
