"""Commands that run studies: launch, reproduce."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapert.cli.options import (
    DEFAULT_WORKSPACE,
    Changes,
    ConfigFile,
    CpusPerTrial,
    Data,
    Device,
    GpusPerTrial,
    MaxConcurrent,
    MaxEpochs,
    Seeds,
    Trials,
    Workspace,
    parse_base,
    parse_resources,
)
from adapert.cli.printing import console, print_candidates, print_figures

if TYPE_CHECKING:
    from adapert.study.resources import Resources
    from adapert.study.study import Study


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

    built = build_study(study, parse_base(data, config, changes, max_epochs))
    built = replace(built, name=built.name if name is None else name).with_budget(
        trials, seeds, sampler, seed
    )
    resources = parse_resources(cpus_per_trial, gpus_per_trial, max_concurrent, time_budget, device)
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

    base = parse_base(data, config, changes, max_epochs)
    resources = parse_resources(cpus_per_trial, gpus_per_trial, max_concurrent, None, device)
    for recipe in ("search", "ablation", "sensitivity"):
        check_new(build_study(recipe, base), workspace)
    search = build_study("search", base).with_budget(trials, None, None, None)
    n_failed = _launch(search, workspace, resources)
    picked = pick_config(tracking_uri(workspace), "search")
    best = workspace / "best.yaml"
    write_config(picked.config, best)
    print_candidates(picked)
    for recipe in ("ablation", "sensitivity"):
        study = build_study(recipe, picked.config).with_budget(None, seeds, None, None)
        n_failed += _launch(study, workspace, resources)
    paths = draw_figures(tracking_uri(workspace), ["ablation", "sensitivity"], workspace / "figures")
    console.print(f"Picked config: {best}")
    print_figures(paths)
    console.print(f"All runs: adapert ui --workspace {workspace}", soft_wrap=True)
    if n_failed:
        raise typer.Exit(1)


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
