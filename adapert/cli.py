"""The `adapert` command. Everything heavy is imported inside the command that needs it."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adapert import __version__
from adapert.errors import InputError

if TYPE_CHECKING:
    from adapert.comparison import ComparisonPlan
    from adapert.config import Config
    from adapert.data.prepared import PreparedDataset
    from adapert.selection import Pick
    from adapert.study.resources import Resources
    from adapert.study.study import Study

app = typer.Typer(
    name="adapert",
    help="Search, ablate and compare configs of AdaPert, a model of responses to unseen perturbations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(highlight=False)

Data = Annotated[Path | None, typer.Option("--data", help="Directory made by 'adapert prepare'.")]
Workspace = Annotated[Path, typer.Option("--workspace", help="Where studies and the MLflow store lie.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML config to start from.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change a field: model.tau=0.5. Repeatable.")
]
MaxEpochs = Annotated[int | None, typer.Option("--max-epochs", min=1, help="Epochs a trial gets at most.")]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Configs that a search tries.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds of each variant of a design.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
CpusPerTrial = Annotated[int, typer.Option("--cpus-per-trial", min=1, help="Cores and threads of a trial.")]
GpusPerTrial = Annotated[
    float | None, typer.Option("--gpus-per-trial", min=0, help="May be a fraction: 0.25; else one if any.")
]
MaxConcurrent = Annotated[int | None, typer.Option("--max-concurrent", min=1, help="Trials at once at most.")]

DEFAULT_WORKSPACE = Path("runs")


def main() -> None:
    """Run the command: a user's mistake is one sentence and status 2, never a traceback."""
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        status = error.exit_code
        # Without any argument the help was printed, and there is no message.
        if error.format_message():
            command = getattr(
                getattr(error, "ctx", None), "command_path", " ".join(["adapert", *sys.argv[1:2]])
            )
            _print_error(f"{_sentence(error.format_message())} See '{command} --help'.")
    except InputError as error:
        status = 2
        _print_error(_sentence(str(error)))
    except OSError as error:
        status = 2
        if error.filename is not None:
            _print_error(
                f"Files must be open to this user, but '{error.filename}' is not: {error.strerror}. "
                "Change its permissions, or name another place."
            )
        elif isinstance(error, FileNotFoundError):
            _print_error(_sentence(str(error)))
        else:
            raise
    sys.exit(status)


def _print_error(sentence: str) -> None:
    print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201


def _sentence(message: str) -> str:
    """Put a message on one line and end it: parsers' own messages have several lines and no full stop."""
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    return line if line.endswith((".", "?", "!")) else f"{line}."


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        console.print(f"adapert {__version__}")
        raise typer.Exit


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="New directory for cells, network and text.")],
    seed: Annotated[int, typer.Option("--seed", help="Of every draw.")] = 0,
) -> None:
    """Write a small simulated Perturb-seq experiment with known effects."""
    from adapert.data.simulate import simulate as write_simulation

    write_simulation(out, seed=seed)
    console.print(
        f"Wrote {out}/cells.h5ad, {out}/network.tsv.gz and {out}/text.npz. Next:\n"
        f"  adapert prepare {out}/cells.h5ad --network {out}/network.tsv.gz "
        f"--embeddings {out}/text.npz --split-fractions 0.5 0.2 0.3 --out {out}/prepared",
        soft_wrap=True,
    )


@app.command()
def prepare(
    cells: Annotated[Path, typer.Argument(help=".h5ad of cells, or of responses with --kind responses.")],
    network: Annotated[Path, typer.Option("--network", help="gene_a gene_b score, or STRING's links file.")],
    embeddings: Annotated[Path, typer.Option("--embeddings", help=".npz, csv, tsv, parquet, GenePT pickle.")],
    out: Annotated[Path, typer.Option("--out", help="New directory for the prepared data set.")],
    kind: Annotated[str, typer.Option(help="cells, or responses: a table of deltas.")] = "cells",
    where: Annotated[list[str] | None, typer.Option(help="Keep rows: cell_type=k562. Repeatable.")] = None,
    aliases: Annotated[Path | None, typer.Option(help="Table of two symbols of the same gene.")] = None,
    network_info: Annotated[Path | None, typer.Option(help="STRING's info file; found beside.")] = None,
    counts_layer: Annotated[str | None, typer.Option(help="Layer of raw counts.")] = None,
    perturbation_column: Annotated[str | None, typer.Option(help="Column of obs; guessed.")] = None,
    control: Annotated[str | None, typer.Option(help="Label of unperturbed cells; guessed.")] = None,
    batch_column: Annotated[str | None, typer.Option(help="Sequencing batch; guessed.")] = None,
    cell_line_column: Annotated[str | None, typer.Option(help="Cell line; guessed.")] = None,
    gene_column: Annotated[str | None, typer.Option(help="Gene symbols, of var; guessed.")] = None,
    significant_layer: Annotated[str | None, typer.Option(help="Responses: layer that marks DEGs.")] = None,
    n_cells_column: Annotated[str | None, typer.Option(help="Responses: cells of each.")] = None,
    n_genes: Annotated[int, typer.Option(help="Genes kept beside the perturbed ones.")] = 5000,
    min_cells: Annotated[int, typer.Option(help="Cells a perturbation must have.")] = 10,
    min_batch_controls: Annotated[int, typer.Option(help="Controls a batch must have.")] = 10,
    deg_test: Annotated[str, typer.Option(help="mann_whitney, or welch.")] = "mann_whitney",
    deg_adjust: Annotated[str, typer.Option(help="fdr (Benjamini-Hochberg), or none (Eq. 14).")] = "fdr",
    effect_size_groups: Annotated[
        str, typer.Option(help="fractions (5 and 10 %), or tertiles.")
    ] = "fractions",
    split_fractions: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="<float x3>", help="Shares of train, validation and test."),
    ] = (0.675, 0.075, 0.25),
    split_seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    split_file: Annotated[Path | None, typer.Option(help="Saved split: perturbation, split.")] = None,
) -> None:
    """Read, check and normalise cells (or responses), a network and text into one data set."""
    from adapert.data import prepare as preparing
    from adapert.files import check_new_directory

    check_new_directory(out)
    choices = preparing.PrepareChoices(
        kind=_one_of("--kind", kind, ("cells", "responses")),
        where=tuple(where or ()),
        counts_layer=counts_layer,
        perturbation_column=perturbation_column,
        control=control,
        batch_column=batch_column,
        cell_line_column=cell_line_column,
        gene_column=gene_column,
        significant_layer=significant_layer,
        n_cells_column=n_cells_column,
        n_genes=n_genes,
        min_cells=min_cells,
        min_batch_controls=min_batch_controls,
        deg_test=_one_of("--deg-test", deg_test, ("mann_whitney", "welch")),
        deg_adjust=_one_of("--deg-adjust", deg_adjust, ("fdr", "none")),
        effect_size_groups=_one_of("--effect-size-groups", effect_size_groups, ("fractions", "tertiles")),
        split_fractions=split_fractions,
        split_seed=split_seed,
    )
    dataset = preparing.prepare(
        cells,
        network,
        embeddings,
        choices,
        network_info=network_info,
        aliases=aliases,
        split_file=split_file,
        out=out,
        note=_note,
    )
    _print_rows(preparing.summarize_prepared(dataset))
    console.print(f"Wrote {out}. Next: adapert reproduce --data {out}", soft_wrap=True)


@app.command()
def launch(
    study: Annotated[str, typer.Argument(help="A recipe's name, or the path of your own (.py).")],
    data: Data = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    name: Annotated[str | None, typer.Option("--name", help="Of the study; the recipe's by default.")] = None,
    config: ConfigFile = None,
    changes: Changes = None,
    trials: Trials = None,
    seeds: Seeds = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of a search and its trials.")] = None,
    sampler: Annotated[str | None, typer.Option("--sampler", help="tpe, random or grid.")] = None,
    max_epochs: MaxEpochs = None,
    time_budget: Annotated[str | None, typer.Option("--time-budget", help="Wall time: 90s, 30m, 2h.")] = None,
    cpus_per_trial: CpusPerTrial = 1,
    gpus_per_trial: GpusPerTrial = None,
    max_concurrent: MaxConcurrent = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; run nothing.")] = False,
) -> None:
    """Run a study: its trials on Ray Tune, its runs in MLflow. Ctrl-C ends it cleanly."""
    from dataclasses import replace

    from adapert.launch import check_new, estimate_seconds, print_plan
    from adapert.study.recipes import build_study

    built = build_study(study, _base(data, config, changes, max_epochs))
    built = replace(built, name=built.name if name is None else name).with_budget(
        trials, seeds, sampler, seed
    )
    resources = _resources(cpus_per_trial, gpus_per_trial, max_concurrent, time_budget, device)
    if dry_run:
        print_plan(built, estimate_seconds(built, resources), console)
        return
    check_new(built, workspace)
    n_failed = _launch(built, workspace, resources)
    if built.plan.kind == "search":
        console.print(f"Next: adapert pick {built.name} --out best.yaml --workspace {workspace}")
    else:
        console.print(f"Next: adapert figures {built.name} --workspace {workspace}")
    if n_failed:
        raise typer.Exit(1)


@app.command()
def reproduce(
    data: Data = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    config: ConfigFile = None,
    changes: Changes = None,
    trials: Trials = None,
    seeds: Seeds = None,
    max_epochs: MaxEpochs = None,
    cpus_per_trial: CpusPerTrial = 1,
    gpus_per_trial: GpusPerTrial = None,
    max_concurrent: MaxConcurrent = None,
    device: Device = "auto",
) -> None:
    """The main job: search, pick, then ablation and sensitivity of the pick, Figures 4 and 5."""
    from adapert.config import write_config
    from adapert.launch import check_new
    from adapert.selection import pick as pick_config
    from adapert.study.recipes import build_study
    from adapert.tracking.store import tracking_uri
    from analysis.figures.recipes import draw_figures

    base = _base(data, config, changes, max_epochs)
    resources = _resources(cpus_per_trial, gpus_per_trial, max_concurrent, None, device)
    for recipe in ("search", "ablation", "sensitivity"):
        check_new(build_study(recipe, base), workspace)
    search = build_study("search", base).with_budget(trials, None, None, None)
    n_failed = _launch(search, workspace, resources)
    picked = pick_config(tracking_uri(workspace), "search")
    best = workspace / "best.yaml"
    write_config(picked.config, best)
    _print_candidates(picked)
    for recipe in ("ablation", "sensitivity"):
        study = build_study(recipe, picked.config).with_budget(None, seeds, None, None)
        n_failed += _launch(study, workspace, resources)
    paths = draw_figures(tracking_uri(workspace), ["ablation", "sensitivity"], workspace / "figures")
    console.print(f"Picked config: {best}")
    _print_figures(paths)
    console.print(f"All runs: adapert ui --workspace {workspace}", soft_wrap=True)
    if n_failed:
        raise typer.Exit(1)


@app.command()
def pick(
    study: Annotated[str, typer.Argument(help="Name of a study.")],
    out: Annotated[Path, typer.Option("--out", help="YAML file for the picked config.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Pick the config of best validation Pearson-delta; print it beside the next four."""
    from adapert.config import write_config
    from adapert.selection import pick as pick_config
    from adapert.tracking.store import tracking_uri

    picked = pick_config(tracking_uri(workspace), study)
    _print_candidates(picked)
    write_config(picked.config, out)
    console.print(
        f"Wrote {out}. Next: adapert launch ablation --config {out} --workspace {workspace}", soft_wrap=True
    )


@app.command()
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
        split=_one_of("--split", split, ("test", "validation")),
        n_seeds=seeds,
        use_ensembles=ensemble,
        emission=_one_of("--emission", emission, ("control_shift", "tiled")),
        device=_resources(1, None, None, None, device).device,
    )
    base = _base(data, config, changes, max_epochs)
    dataset = read_prepared(Path(base.data.path), {"train", "validation", plan.split})
    if emit:
        check_emitted(plan, dataset, emit)
    folder = out or new_folder(workspace, split)
    check_new_directory(folder)
    _print_opening(plan, dataset)
    _compare(plan, base, dataset, folder, emit)


@app.command()
def figures(
    studies: Annotated[list[str], typer.Argument(help="Names of ablation and sensitivity studies.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory; WORKSPACE/figures by default.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    split: Annotated[str, typer.Option("--split", help="validation or test perturbations.")] = "validation",
) -> None:
    """Draw Figure 4 of ablations and Figure 5 of sensitivity studies, from MLflow alone."""
    from adapert.tracking.store import tracking_uri
    from analysis.figures.recipes import draw_figures

    _one_of("--split", split, ("validation", "test"))
    _print_figures(draw_figures(tracking_uri(workspace), studies, out or workspace / "figures", split))


@app.command()
def ui(
    workspace: Workspace = DEFAULT_WORKSPACE,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Of the page, on 127.0.0.1.")] = 5000,
) -> None:
    """Serve MLflow's pages of a workspace on 127.0.0.1."""
    from adapert.tracking.ui import serve

    sys.exit(serve(workspace, port, console))


def _base(
    data: Path | None, config: Path | None, changes: list[str] | None, max_epochs: int | None
) -> "Config":
    from adapert.data.prepared import read_prepared
    from adapert.launch import build_base

    parsed = dict(_parse_change(change) for change in changes or ())
    if max_epochs is not None:
        parsed["training.max_epochs"] = max_epochs
    base = build_base(data, config, parsed)
    read_prepared(Path(base.data.path))  # a damaged one is refused here, before any trial
    return base


def _parse_change(change: str) -> tuple[str, Any]:
    import yaml

    name, _, value = change.partition("=")
    try:
        if name and value:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise InputError(f"--set must be FIELD=VALUE, such as model.tau=0.5, but it is '{change}'.")


def _resources(
    cpus_per_trial: int,
    gpus_per_trial: float | None,
    max_concurrent: int | None,
    time_budget: str | None,
    device: str,
) -> "Resources":
    from adapert.study.resources import build_resources

    # What many call it; the nearest word would be 'cpu'.
    device = _one_of("--device", "cuda" if device == "gpu" else device, ("auto", "cpu", "cuda"))
    seconds = None if time_budget is None else _parse_duration(time_budget)
    return build_resources(cpus_per_trial, gpus_per_trial, max_concurrent, seconds, device)


def _parse_duration(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    duration = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)([smhd])", text)
    seconds = float(duration[1]) * units[duration[2]] if duration else 0
    if not seconds:
        raise InputError(
            f"--time-budget must be a number above 0 and s, m, h or d, such as 2h, but it is '{text}'."
        )
    return seconds


def _launch(study: "Study", workspace: Path, resources: "Resources") -> int:
    """Run a study and say how it ended; return its number of failed trials."""
    from adapert.launch import launch as launch_study
    from adapert.records import TrialStatus
    from adapert.study.progress import format_seconds

    console.print(f"{study.name}: {study.question}", style="bold", soft_wrap=True, markup=False)
    result = launch_study(study, workspace, resources, console)
    ends = ", ".join(f"{result.count(end)} {end}" for end in TrialStatus if result.count(end))
    console.print(f"{study.name}: {ends} of {study.n_trials} trials in {format_seconds(result.seconds)}.")
    if result.is_interrupted:
        raise typer.Exit(130)
    if result.count(TrialStatus.FAILED):
        first = next(record for record in result.records if record.status == TrialStatus.FAILED)
        console.print(f"First failure: {first.message}", soft_wrap=True, markup=False)
    return result.count(TrialStatus.FAILED)


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
        scored = compare(plan, config, dataset, _note)
    except DivergedError as error:
        _print_error(str(error))
        raise typer.Exit(1) from error
    emitted = scored[-1]
    scored += measure_ceilings(plan, dataset, _note)
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


def _note(line: str) -> None:
    console.print(line, style="dim", soft_wrap=True, markup=False)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    from adapert.errors import nearest

    if value not in allowed:
        raise InputError(
            f"{option} must be one of {', '.join(allowed)}, but it is '{value}'.{nearest(value, allowed)}"
        )
    return value


def _print_rows(rows: list[tuple[str, str]]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_candidates(picked: "Pick", n_shown: int = 5) -> None:
    shown = picked.candidates.head(n_shown)
    fields = [str(column) for column in shown.columns if "." in str(column)]
    console.print("Best configs on validation:")
    table = Table(box=None, pad_edge=False)
    table.add_column("rank")
    for rank in range(1, len(shown) + 1):
        table.add_column(str(rank), justify="right")
    counts = ["n_seeds"] if shown["n_seeds"].max() > 1 else []
    for column in ("pearson_delta", "pds", *counts, *fields):
        table.add_row(column, *(_short(value) for value in shown[column]))
    console.print(table)
    if picked.n_left_out:
        console.print(f"{picked.n_left_out} trials without a final Pearson-delta are left out.")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_figures(paths: list[Path]) -> None:
    for path in paths:
        console.print(f"Wrote {path}", soft_wrap=True)
