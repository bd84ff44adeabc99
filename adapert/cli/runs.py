"""Commands about one trial: predict, rerun."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapert.cli.completion import complete_trial
from adapert.cli.options import Data, FigureStyle, Workspace, parse_style, split_list
from adapert.cli.printing import console, print_error, print_table
from adapert.commands import DEFAULT_WORKSPACE
from adapert.errors import InputError, format_count

if TYPE_CHECKING:
    from adapert.prediction.predictions import Predictions

N_STRONGEST = 10
"""Genes shown of each perturbation, up and down."""

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="An MLflow run id, STUDY/TRIAL such as search/007, or STUDY.",
        autocompletion=complete_trial,
    ),
]


def predict(
    run: RunName,
    genes: Annotated[list[str], typer.Argument(metavar="GENE", help="Genes; KLF1+MAP2K6 for a combination.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write deltas to .csv, .parquet or .h5ad.")
    ] = None,
    contexts: Annotated[
        Path | None, typer.Option("--contexts", help="Write genes that the model selected to a CSV.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the first context to PNG, SVG or PDF.")
    ] = None,
    style: FigureStyle = "screen",
    data: Data = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Predict perturbations with a study's picked model or one trial; no observed response is read."""
    from adapert.api import predict as predict_run
    from adapert.csv_files import write_csv
    from adapert.files import whole_file
    from adapert.prediction.files import check_form, write_deltas

    if out:
        check_form(out)
    if picture and picture.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"A picture is written as .png, .svg or .pdf, but --picture is '{picture}'.")
    if parse_style(style) != "screen" and not picture:
        raise InputError(f"--style {style} is about a picture, but none was asked for. Add --picture FILE.")
    predictions = predict_run(run, split_list("GENE", genes), workspace, data=data)
    if (contexts or picture) and predictions.contexts.empty:
        raise InputError(
            f"--contexts and --picture need a model that selects genes, but {predictions.source} does not. "
            "Leave them out."
        )
    _print_predictions(predictions, is_shown=out is None)
    written = [path for path in (out, contexts) if path]
    if out:
        write_deltas(predictions.deltas, out, predictions.units)
    if contexts:
        with whole_file(contexts) as beside:
            write_csv(predictions.contexts, beside)
    if picture:
        from analysis.figures.context import plot_context, summarize_context
        from analysis.figures.page import STYLES
        from analysis.figures.writing import write_single

        nodes = summarize_context(predictions.contexts, predictions.deltas, str(predictions.deltas.index[0]))
        figure = plot_context(nodes, predictions.edges, predictions.units, STYLES[style])
        written += write_single(figure, picture)
    for path in written:
        console.print(f"Wrote {path}", soft_wrap=True)


def rerun(run: RunName, data: Data = None, workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Run a tracked trial again, on this machine, and compare its metrics; exit status 1 if any differs."""
    from adapert.api import rerun as rerun_trial
    from adapert.cli.entry import exit_status
    from adapert.prediction.rerun import RerunError, describe_result

    try:
        result = rerun_trial(run, workspace, data=data)
    except RerunError as error:
        print_error(str(error))
        raise typer.Exit(exit_status(error.closing)) from error
    rows = [
        (str(row.metric), f"{row.tracked:.9g}", f"{row.again:.9g}", f"{row.difference:.3g}")
        for row in result.metrics.itertuples(index=False)
    ]
    print_table(list(result.metrics.columns), rows, "lrrr")
    console.print(describe_result(result), soft_wrap=True)
    console.print(f"Tracked as run {result.rerun}.", soft_wrap=True)
    if not result.is_same:
        raise typer.Exit(1)


def _print_predictions(predictions: "Predictions", is_shown: bool) -> None:
    n_models = f", mean of {predictions.n_models} seeds" if predictions.n_models > 1 else ""
    console.print(
        f"Predicted by {predictions.source}{n_models}; deltas in {predictions.units}.", soft_wrap=True
    )
    for sentence in predictions.notes:
        console.print(f"Note: {sentence}", soft_wrap=True)
    for name, deltas in predictions.deltas.iterrows() if is_shown else ():
        console.print(f"\n{name}", style="bold")
        ascending = deltas.sort_values()
        strongest = zip(ascending[::-1][:N_STRONGEST].items(), ascending[:N_STRONGEST].items(), strict=True)
        rows = [
            (str(up), f"{rise:+.3f}", str(down), f"{fall:+.3f}") for (up, rise), (down, fall) in strongest
        ]
        print_table(("up", "delta", "down", "delta"), rows, "lrlr")
        _print_context(predictions, str(name))


def _print_context(predictions: "Predictions", perturbation: str) -> None:
    of_this = predictions.contexts["perturbation"] == perturbation
    selected = predictions.contexts[of_this & predictions.contexts["is_selected"].astype(bool)]
    others = selected.loc[~selected["is_perturbed"].astype(bool), "gene"]
    if len(selected):
        named = f": {', '.join(others[:N_STRONGEST])}" if len(others) else ""
        more = ", ..." if len(others) > N_STRONGEST else ""
        console.print(f"{format_count(len(others), 'context gene')}{named}{more}", soft_wrap=True)
