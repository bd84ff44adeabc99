"""The command report."""

from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.completion import complete_study
from adapert.cli.options import Workspace, split_list
from adapert.cli.printing import console, print_findings
from adapert.commands import DEFAULT_WORKSPACE


def report(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY", help="Names of studies.", autocompletion=complete_study)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file; default: WORKSPACE/report.html.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    split: Annotated[
        str, typer.Option("--split", help="validation; for test see 'evaluate'.")
    ] = "validation",
) -> None:
    """Report what studies found, asked, ran and cost, on one HTML page that needs no network."""
    from adapert.api import write_report

    if out and out.is_dir():
        raise typer.BadParameter(f"'{out}' is a directory; name an HTML file.", param_hint="--out")
    written = write_report(split_list("STUDY", studies), workspace, out, split=split)
    size = written.path.stat().st_size / 1e6
    console.print(f"Wrote {written.path} ({size:.1f} MB).", soft_wrap=True)
    print_findings(written.findings)
