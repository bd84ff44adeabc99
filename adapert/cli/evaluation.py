"""The command that opens a split: evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapert.cli.options import (
    DEFAULT_WORKSPACE,
    Changes,
    Data,
    Device,
    MaxEpochs,
    Workspace,
    one_of,
    parse_changes,
    parse_resources,
)
from adapert.cli.printing import console, note, print_error

if TYPE_CHECKING:
    from adapert.comparison.assess import Assessment


def evaluate(
    config: Annotated[Path | None, typer.Argument(help="YAML config; the defaults otherwise.")] = None,
    data: Data = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    changes: Changes = None,
    models: Annotated[
        str | None, typer.Option("--models", help="Such as adapert,mean,ridge_both; else all.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Fits of a model that has chance.")] = 3,
    split: Annotated[str, typer.Option("--split", help="test, or validation.")] = "test",
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Add the seeds' mean prediction.")] = False,
    emission: Annotated[
        str, typer.Option("--emission", help="Cells from deltas: control_shift, tiled.")
    ] = "control_shift",
    emit: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--emit", metavar="<path x2>", help="Predicted and real cells, for cell-eval."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New directory; in WORKSPACE/evaluations by default.")
    ] = None,
    max_epochs: MaxEpochs = None,
    refit: Annotated[
        str,
        typer.Option("--refit", help="train, or train+validation with the epoch (or penalty) fixed."),
    ] = "train",
    cpus_per_fit: Annotated[
        int, typer.Option("--cpus-per-fit", min=1, help="Cores and threads of a fit.")
    ] = 1,
    again: Annotated[bool, typer.Option("--again", help="Open a test split that was opened before.")] = False,
    device: Device = "auto",
) -> None:
    """Refit models and open a split: every metric, beside reference models; test openings are counted.

    Typed again after a crash, it goes on under the opening that was counted.
    """
    from adapert.api import evaluate as evaluate_config
    from adapert.comparison.plan import REFITS, ComparisonPlan
    from adapert.training.loop import DivergedError

    chosen = {} if models is None else {"models": [name.strip() for name in models.split(",")]}
    plan = ComparisonPlan(
        **chosen,
        split=one_of("--split", split, ("test", "validation")),
        n_seeds=seeds,
        use_ensembles=ensemble,
        emission=one_of("--emission", emission, ("control_shift", "tiled")),
        device=parse_resources(1, None, None, device).device,
        refit=one_of("--refit", refit, REFITS),
        n_threads=cpus_per_fit,
    )
    changed = parse_changes(changes, max_epochs)
    try:
        assessment = evaluate_config(
            config, data, workspace, plan=plan, changes=changed, again=again, out=out, emit=emit, note=note
        )
    except DivergedError as error:
        print_error(str(error))
        raise typer.Exit(1) from error
    _print_tables(assessment, split)
    console.print(f"Wrote {assessment.folder}", soft_wrap=True)
    if emit:
        console.print(f"Wrote {emit[0]} and {emit[1]}", soft_wrap=True)
    if assessment.access:
        console.print(assessment.access.describe(), style="bold", soft_wrap=True)


def _print_tables(assessment: "Assessment", split: str) -> None:
    from adapert.cli.comparison import build_paired_tables, build_tables
    from adapert.comparison.summary import CAPTION, PAIRED_CAPTION

    captioned = [
        (build_tables(assessment.summary, split), CAPTION),
        (build_paired_tables(assessment.paired), PAIRED_CAPTION),
    ]
    for tables, caption in captioned:
        for table in tables:
            console.print(table)
            console.print()
        if tables:
            console.print(caption)
            console.print()
