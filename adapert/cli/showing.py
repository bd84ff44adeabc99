"""Commands that show results: figures, ui."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.completion import complete_study
from adapert.cli.options import FigureStyle, Workspace, one_of, parse_style, split_list
from adapert.cli.printing import console, print_figures, print_table
from adapert.commands import DEFAULT_WORKSPACE
from adapert.errors import InputError, name_some


def figures(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY",
            help="Names of searches, ablations, comparisons of systems.",
            autocompletion=complete_study,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Directory; default: WORKSPACE/figures.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    split: Annotated[
        str, typer.Option("--split", help="validation; for test see --evaluation.")
    ] = "validation",
    data: Annotated[
        Path | None, typer.Option("--data", help="Prepared data set: Figures 6 to 8, Tables 4 to 7.")
    ] = None,
    evaluations: Annotated[
        list[str] | None,
        typer.Option(
            "--evaluation",
            metavar="<[name=]folder>",
            help="Folder from 'evaluate': Figures 1, 9, Tables 1 to 3. Several: Tables 1, 2 side by side.",
        ),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            "--peers",
            metavar="<[name=]folder>",
            help="Study folder of a comparison of systems, such as of another workspace: Tables 1 to 3 of "
            "systems, side by side with those of STUDY. Repeatable.",
        ),
    ] = None,
    perturbation: Annotated[
        str | None, typer.Option("--perturbation", help="Shown in Figures 1 and 9; default: one is chosen.")
    ] = None,
    pathways: Annotated[
        Path | None, typer.Option("--pathways", help="GMT file of gene sets: Figure 9 and its table.")
    ] = None,
    deg_change: Annotated[
        float | None,
        typer.Option("--deg-change", help="Figure 7 counts genes that change by more: 0.1; default: DEGs."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Figures or tables to draw: claims,figure_4_ablation. Repeatable."),
    ] = None,
    style: FigureStyle = "screen",
) -> None:
    """Draw the figures and tables of studies, of a data set, or of evaluations."""
    from adapert.api import draw_figures as draw_all
    from analysis.claims import P_CAPTION, build_claims_table
    from analysis.figures.recipes import figure_stems
    from analysis.sources import TABLE_STEMS, parse_comparisons, parse_evaluations

    wanted = tuple(split_list("--only", only or ()))
    for stem in wanted:
        one_of("--only", stem, (*figure_stems(), *TABLE_STEMS))
    drawn = draw_all(
        split_list("STUDY", studies or ()),
        workspace,
        out,
        split=split,
        data=data,
        evaluation=parse_evaluations(evaluations or ()),
        peers=parse_comparisons(peers or ()),
        perturbation=perturbation,
        pathways=pathways,
        deg_change=deg_change,
        only=wanted,
        style=parse_style(style),
    )
    if drawn.claims is not None:
        claims = drawn.claims
        # The first metric's; the files have them all.
        shown = build_claims_table(claims[claims["metric"] == claims["metric"].iloc[0]]).cells
        for reading, cells in shown.groupby("Loss", sort=False):
            console.print(
                f"The paper's claims about Figures 4 and 5, {cells['Metric'].iloc[0]}, loss {reading}:"
            )
            cells = cells.drop(columns=["Metric", "Loss"])
            print_table(list(cells.columns), cells.itertuples(index=False))
        console.print(P_CAPTION)
    if not drawn.paths:
        raise InputError(
            f"None of the sources has {name_some(wanted)}. Leave --only out to see what they have."
        )
    print_figures(drawn.paths)


def ui(
    workspace: Workspace = DEFAULT_WORKSPACE,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Port on 127.0.0.1.")] = 5000,
    optuna: Annotated[
        bool, typer.Option("--optuna", help="Optuna's dashboard of searches in place of MLflow's pages.")
    ] = False,
) -> None:
    """Serve MLflow's pages for a workspace on 127.0.0.1, or Optuna's dashboard of its searches."""
    if optuna:
        from adapert.workspace.optuna_pages import serve_optuna

        serve_optuna(workspace, port, console)
        return
    from adapert.tracking.ui import serve

    sys.exit(serve(workspace, port, console))
