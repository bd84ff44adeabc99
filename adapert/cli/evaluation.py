"""The command that opens a split: evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapert.cli.as_json import describe_assessment, print_json
from adapert.cli.completion import complete_model
from adapert.cli.options import (
    AsJson,
    Changes,
    Data,
    Device,
    MaxEpochs,
    NewResources,
    Workspace,
    one_of,
    parse_changes,
    split_list,
)
from adapert.cli.printing import console, print_error
from adapert.commands import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from adapert.comparison.assess import Assessment


def evaluate(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CONFIG.yaml",
            help="YAML config or preset, or several to compare; without one, the defaults.",
        ),
    ] = None,
    data: Data = None,
    on: Annotated[
        Path | None,
        typer.Option(
            "--on",
            help="Another prepared data set to score on, such as of another cell line; default: --data.",
        ),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    changes: Changes = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            help="Such as adapert,mean; default: adapert, and all that need no epochs.",
            autocompletion=complete_model,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Fits per model with randomness.")] = 3,
    split: Annotated[str, typer.Option("--split", help="test or validation.")] = "test",
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Also score the mean over seeds.")] = False,
    emission: Annotated[
        str, typer.Option("--emission", help="Cells from deltas: control_shift or tiled.")
    ] = "control_shift",
    emit: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--emit", metavar="<path x2>", help="New files of predicted and real cells, for cell-eval."
        ),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            "--predictions",
            metavar="<[name=]file>",
            help="Another model's deltas or cells (.h5ad), a row beside the models. Repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New directory; default: in WORKSPACE/evaluations.")
    ] = None,
    max_epochs: MaxEpochs = None,
    refit: Annotated[
        str,
        typer.Option("--refit", help="train, or train+validation at a fixed epoch (or penalty)."),
    ] = "train",
    cpus_per_fit: Annotated[int, typer.Option("--cpus-per-fit", min=1, help="CPU cores per fit.")] = 1,
    again: Annotated[bool, typer.Option("--again", help="Open a test split again.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Refit models, open a split and compute every metric, next to reference models.

    With --on, the models of --data are scored on another data set, on the genes that both measure.

    Several configs are compared with each other too, and the split is opened once for all of them. Every
    access to the test split is counted. Repeated after a crash, it continues under the same access.
    """
    from adapert.api import evaluate as evaluate_configs
    from adapert.comparison.plan import REFITS, ComparisonPlan
    from adapert.evaluation.predicted_files import parse_predictions
    from adapert.training.loop import DivergedError

    chosen = {} if models is None else {"models": split_list("--models", models)}
    plan = ComparisonPlan(
        **chosen,
        split=one_of("--split", split, ("test", "validation")),
        on=on,
        n_seeds=seeds,
        use_ensembles=ensemble,
        emission=one_of("--emission", emission, ("control_shift", "tiled")),
        device=NewResources(device=device).build().device,
        refit=one_of("--refit", refit, REFITS),
        n_threads=cpus_per_fit,
    )
    changed = parse_changes(changes, max_epochs)
    try:
        assessment = evaluate_configs(
            configs or None,
            data,
            workspace,
            plan=plan,
            changes=changed,
            again=again,
            out=out,
            emit=emit,
            predictions=parse_predictions(predictions or ()),
        )
    except DivergedError as error:
        print_error(str(error))
        raise typer.Exit(1) from error
    if as_json:
        print_json(describe_assessment(assessment, split))
        return
    _print_tables(assessment, split)
    console.print(f"Wrote {assessment.folder}", soft_wrap=True)
    if emit:
        console.print(f"Wrote {emit[0]} and {emit[1]}", soft_wrap=True)
    if assessment.access:
        console.print(assessment.access.describe(), style="bold", soft_wrap=True)


def _print_tables(assessment: "Assessment", split: str) -> None:
    from adapert.cli.comparison import (
        build_combination_tables,
        build_family_tables,
        build_paired_tables,
        build_tables,
        summarize_families,
        summarize_power,
    )
    from adapert.comparison.summary import CAPTION, COMBINATIONS_CAPTION, PAIRED_CAPTION

    transfer = f" {assessment.transfer.caption}" if assessment.transfer else ""
    captioned = [
        (build_tables(assessment.summary, split), f"{CAPTION}{transfer}"),
        (build_combination_tables(assessment.combinations, split), COMBINATIONS_CAPTION),
        (build_paired_tables(assessment.paired), PAIRED_CAPTION),
        (build_family_tables(assessment.paired), summarize_families(assessment.paired)),
    ]
    for tables, caption in captioned:
        for table in tables:
            console.print(table)
            console.print()
        if tables:
            console.print(caption)
            console.print()
    families = assessment.frame.drop_duplicates("perturbation")["family"].tolist()
    for line in summarize_power(assessment.paired, families):
        console.print(line, soft_wrap=True)
