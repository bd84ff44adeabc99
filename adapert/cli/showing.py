"""Commands that show results: figures, ui."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.options import DEFAULT_WORKSPACE, Workspace, one_of
from adapert.cli.printing import console, print_figures


def figures(
    studies: Annotated[list[str], typer.Argument(help="Names of ablation and sensitivity studies.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory; WORKSPACE/figures by default.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    split: Annotated[str, typer.Option("--split", help="validation or test perturbations.")] = "validation",
) -> None:
    """Draw Figure 4 of ablations and Figure 5 of sensitivity studies, from MLflow alone."""
    from adapert.tracking.runs import keep_figures
    from adapert.tracking.store import tracking_uri
    from analysis.figures.recipes import draw_figures

    one_of("--split", split, ("validation", "test"))
    uri = tracking_uri(workspace)
    drawn = draw_figures(uri, studies, out or workspace / "figures", split)
    keep_figures(uri, drawn)
    print_figures(drawn)


def ui(
    workspace: Workspace = DEFAULT_WORKSPACE,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Of the page, on 127.0.0.1.")] = 5000,
) -> None:
    """Serve MLflow's pages of a workspace on 127.0.0.1."""
    from adapert.tracking.ui import serve

    sys.exit(serve(workspace, port, console))
