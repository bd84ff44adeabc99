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
    parse_base,
    parse_resources,
)
from adapert.cli.printing import console, note, print_error

if TYPE_CHECKING:
    from adapert.comparison import ComparisonPlan
    from adapert.config import Config
    from adapert.data.prepared import PreparedDataset


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
    device: Device = "auto",
) -> None:
    """Refit models and open a split: every metric, beside reference models."""
    from adapert.comparison import ComparisonPlan, check_emitted, new_folder
    from adapert.data.prepared import read_prepared
    from adapert.files import check_new_directory

    chosen = {} if models is None else {"models": [name.strip() for name in models.split(",")]}
    plan = ComparisonPlan(
        **chosen,
        split=one_of("--split", split, ("test", "validation")),
        n_seeds=seeds,
        use_ensembles=ensemble,
        emission=one_of("--emission", emission, ("control_shift", "tiled")),
        device=parse_resources(1, None, None, device).device,
    )
    base = parse_base(data, config, changes, max_epochs)
    dataset = read_prepared(Path(base.data.path), {"train", "validation", plan.split})
    if emit:
        check_emitted(plan, dataset, emit)
    folder = out or new_folder(workspace, split)
    check_new_directory(folder)
    _print_opening(plan, dataset)
    _compare(plan, base, dataset, folder, emit)


def _print_opening(plan: "ComparisonPlan", dataset: "PreparedDataset") -> None:
    n_perturbations = len(dataset.splits[plan.split].table.perturbations)
    line = f"Opened: the {plan.split} split of data {dataset.fingerprint}, {n_perturbations} perturbations."
    closed = " The test split stays closed." if plan.split == "validation" else ""
    console.print(f"{line}{closed}", style="bold", soft_wrap=True)


def _compare(
    plan: "ComparisonPlan",
    config: "Config",
    dataset: "PreparedDataset",
    folder: Path,
    emit: tuple[Path, Path] | None,
) -> None:
    """Fit, score, write and print."""
    from adapert.comparison import (
        build_comparison_table,
        compare,
        describe_comparison,
        measure_ceilings,
        write_emitted,
    )
    from adapert.tracking.provenance import git_commit
    from adapert.training.loop import DivergedError
    from analysis.comparison import CAPTION, build_tables, summarize_comparison, write_comparison

    try:
        scored = compare(plan, config, dataset, note)
    except DivergedError as error:
        print_error(str(error))
        raise typer.Exit(1) from error
    emitted = scored[-1]
    scored += measure_ceilings(plan, dataset, note)
    frame = build_comparison_table(scored, dataset, plan.split)
    summary = summarize_comparison(frame)
    record = describe_comparison(plan, config, dataset, scored) | {"git_commit": git_commit()}
    write_comparison(folder, frame, summary, record)
    for table in build_tables(summary, plan.split):
        console.print(table)
        console.print()
    console.print(CAPTION, markup=False)
    console.print(f"Wrote {folder}", soft_wrap=True)
    if emit and emitted.model is not None:
        write_emitted(emitted.model, emitted.seed, plan, dataset, emit)
        console.print(f"Wrote {emit[0]} and {emit[1]}", soft_wrap=True)
