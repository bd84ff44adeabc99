"""Commands that run studies: launch, reproduce, and those for a study that exists."""

from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.completion import complete_model, complete_recipe, complete_trial_of_study
from adapert.cli.options import (
    KEPT,
    Changes,
    ConfigFile,
    Data,
    EarlyEnd,
    FigureStyle,
    KeptResources,
    MaxEpochs,
    MinEpochs,
    MovedData,
    NewResources,
    Retraining,
    Seeds,
    StudyName,
    Trials,
    Workspace,
    parse_base,
    parse_changes,
    parse_style,
)
from adapert.cli.peers import (
    check_peers,
    parse_data,
    plan_peers,
    print_comparisons,
    run_comparisons,
    run_peers,
)
from adapert.cli.printing import (
    console,
    print_candidates,
    print_error,
    print_figures,
    print_findings,
    progress,
)
from adapert.cli.running import command_line, finish, print_study, run_or_resume, run_pick, run_study
from adapert.commands import DEFAULT_WORKSPACE
from adapert.errors import InputError, format_count

COHORT_SIZE = 4
"""Configs that a deterministic search asks for at once."""


def launch(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A recipe's name, or the path of your own (.py).",
            autocompletion=complete_recipe,
        ),
    ],
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="<[name=]path>",
            help="Directory made by 'adapert prepare'. 'peers' takes several, each with a name of its own.",
        ),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the study; default: the recipe's.")
    ] = None,
    config: ConfigFile = None,
    changes: Changes = None,
    trials: Trials = None,
    seeds: Seeds = None,
    seeds_per_trial: Annotated[
        int | None, typer.Option("--seeds-per-trial", min=1, help="Seeds per leading config of a search.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of a search and its trials.")] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="tpe, random, quasi_random or grid.")
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Propose the same configs however many run at once.")
    ] = False,
    max_epochs: MaxEpochs = None,
    min_epochs: MinEpochs = None,
    ends: EarlyEnd,
    resources: NewResources,
    max_failures: Annotated[
        int, typer.Option("--max-failures", min=0, help="Times a trial may lose its worker.")
    ] = 3,
    address: Annotated[
        str | None, typer.Option("--address", help="Ray cluster: auto or HOST:6379; default: this machine.")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            help="Of 'peers': systems, such as adapert,kernel_ridge,mean; default: all.",
            autocompletion=complete_model,
        ),
    ] = None,
    splits: Annotated[
        int | None, typer.Option("--splits", min=1, help="Of 'peers': splits to compare on; default: 3.")
    ] = None,
    retraining: Retraining,
    ship_data: Annotated[
        bool, typer.Option("--ship-data", help="Send the data to nodes that cannot see their path.")
    ] = False,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="MLflow server; default: WORKSPACE/mlflow.db.")
    ] = None,
    optuna_storage: Annotated[
        str | None, typer.Option("--optuna-storage", help="Of a search: Optuna database; default: a file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan without running it.")] = False,
) -> None:
    """Run a study, with its runs in MLflow. After Ctrl-C, continue with 'adapert resume'.

    'peers' searches every system with the same budget, picks a config of each, and compares them in pairs,
    as published and tuned, on one data set after the other; repeat the command to continue.
    """
    from dataclasses import replace

    from adapert.study.engine.limits import Limits
    from adapert.study.execution.resources import usual_executor
    from adapert.study.plan.first_rung import parse_first_rung
    from adapert.study.plan.peers import PEERS
    from adapert.study.plan.recipes import build_study, locate_recipe
    from adapert.workspace.launch import Stores, check_effect, check_new, check_stores

    if study != PEERS and (models or splits or retraining != Retraining()):
        raise InputError(
            "--models, --splits, --top, --fresh-seeds and --redraws are of 'peers', but the study is "
            f"'{study}'. Leave them out, or launch peers."
        )
    search_budget = {
        "n_trials": trials,
        "sampler": sampler,
        "seed": seed,
        "first_rung": None if min_epochs is None else parse_first_rung(min_epochs),
        "seeds_per_config": seeds_per_trial,
        "cohort_size": COHORT_SIZE if deterministic else None,
    }
    stores = Stores(tracking_uri=tracking_uri or "", optuna_storage=optuna_storage or "")
    options = {"limits": Limits(**ends.limits()), "stores": stores}
    of_cluster = {"address": address or "", "ships_data": ship_data, "max_failures": max_failures}
    if study == PEERS:
        used = resources.build(**of_cluster)
        plans = [
            plan_peers(
                parse_base(place, config, changes, max_epochs, workspace),
                retraining,
                search_budget,
                name=PEERS if name is None else name,
                models=models,
                n_seeds=seeds,
                n_splits=splits,
                options=options,
                data=data_name,
            )
            for data_name, place in parse_data(data or ()).items()
        ]
        if dry_run:
            print_comparisons(plans, used)
        else:
            run_comparisons(plans, workspace, used)
        return
    if data and len(data) > 1:
        raise InputError(
            f"A study has one data set, but --data names {len(data)}. Name one, or launch 'peers', which "
            "compares systems on several."
        )
    base = parse_base(Path(data[0]) if data else None, config, changes, max_epochs, workspace)
    built = build_study(study, base)
    check_effect(built, parse_changes(changes, None))
    built = replace(built, name=built.name if name is None else name).with_budget(
        n_seeds=seeds, **search_budget
    )
    check_stores(built, stores)
    used = resources.build(usual=usual_executor(study, built.plan.size), **of_cluster)
    if dry_run:
        print_study(built, used)
        return
    check_new(built, workspace)
    finish(run_study(built, workspace, used, locate_recipe(study), **options), workspace)


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Written by 'pick' or by you, or a preset: paper.")
    ],
    *,
    data: Data = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of its study; default: the file's.")
    ] = None,
    changes: Changes = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of seeds to train it with.")] = 1,
    max_epochs: MaxEpochs = None,
    resources: NewResources,
) -> None:
    """Train one config as a study of its own, for 'predict', 'rerun' and 'report'."""
    from dataclasses import replace

    from adapert.study.execution.resources import usual_executor
    from adapert.study.plan.recipes import build_study
    from adapert.workspace.launch import check_new

    base = parse_base(data, config, changes, max_epochs, workspace)
    built = build_study("single", base).with_budget(n_seeds=seeds)
    built = replace(built, name=config.stem if name is None else name)
    used = resources.build(usual=usual_executor("single", built.plan.size))
    check_new(built, workspace)
    finish(run_study(built, workspace, used, "single"), workspace)


def resume(
    study: StudyName,
    *,
    workspace: Workspace = DEFAULT_WORKSPACE,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Continue although code or data have changed.")
    ] = False,
    data: MovedData = None,
    ends: EarlyEnd,
    resources: KeptResources,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=0, help=f"Times a trial may lose its worker. {KEPT}")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help=f"Ray cluster: auto or HOST:6379. {KEPT}")
    ] = None,
) -> None:
    """Continue a study after Ctrl-C, a crash or a reboot, as if it had not been interrupted.

    Options that are not given keep the study's values.
    """
    from adapert.workspace.resume import resume as resume_study

    used = resources.changes(max_failures=max_failures, address=address)
    result = resume_study(workspace, study, progress(), used, ends.limits(), accept_changes, data)
    finish(result, workspace)


def extend(
    study: StudyName,
    workspace: Workspace = DEFAULT_WORKSPACE,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Configs to add to a search.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Seeds per variant to add to a design.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Add even if the same extension is not done.")
    ] = False,
    data: MovedData = None,
) -> None:
    """Add trials to a study, whether it is running or has ended.

    Repeated before they are done, it adds nothing twice and continues after a crash.
    """
    from adapert.workspace.resume import extend as extend_study

    result = extend_study(workspace, study, progress(), trials, seeds, data, again)
    if result is None:
        console.print(f"The process that runs '{study}' has taken the extension up.", soft_wrap=True)
    else:
        finish(result, workspace)


def stop(
    study: StudyName,
    trial: Annotated[
        str | None,
        typer.Argument(
            metavar="TRIAL",
            help="Id of a trial; default: the whole study.",
            autocompletion=complete_trial_of_study,
        ),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Stop a running study now, or one of its trials after its current epoch."""
    from adapert.workspace.resume import stop as stop_study

    stop_study(workspace, study, trial)
    console.print(f"Asked to stop: {study if trial is None else f'trial {trial} of {study}'}.")


def sync(study: StudyName, workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Send MLflow whatever it lacks of a study, and end the runs of a study that was killed."""
    from adapert.workspace.resume import sync as sync_study

    n_waiting, trouble = sync_study(workspace, study)
    if n_waiting:
        print_error(f"MLflow still lacks {format_count(n_waiting, 'line')} of '{study}': {trouble}")
        raise typer.Exit(1)
    console.print(f"MLflow has all of '{study}'{' but what it refused' if trouble else ''}.")
    if trouble:
        console.print(f"Refused: {trouble}", soft_wrap=True)


def reproduce(
    *,
    data: Data = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    config: ConfigFile = None,
    changes: Changes = None,
    trials: Trials = None,
    seeds: Seeds = None,
    max_epochs: MaxEpochs = None,
    min_epochs: MinEpochs = None,
    resources: NewResources,
    retraining: Retraining,
    peers: Annotated[
        bool, typer.Option("--peers", help="Also search, pick and compare every other system.")
    ] = False,
    style: FigureStyle = "screen",
) -> None:
    """Run the whole job: search, pick, ablation and sensitivity of the pick, figures and report.

    Repeated after a crash, it continues where it was.
    """
    from adapert.api import draw_figures, write_report
    from adapert.config import write_config
    from adapert.study.execution.on_ray import one_ray
    from adapert.study.plan.first_rung import parse_first_rung
    from adapert.study.plan.recipes import build_study
    from adapert.workspace.launch import check_effect

    style = parse_style(style)
    base = parse_base(data, config, changes, max_epochs, workspace)
    used = resources.build()
    budget = {"n_trials": trials, "first_rung": None if min_epochs is None else parse_first_rung(min_epochs)}
    search = build_study("search", base).with_budget(**budget)
    check_effect(search, parse_changes(changes, None))
    compared = plan_peers(base, retraining, budget, n_seeds=seeds) if peers else None
    if compared:
        check_peers(compared, workspace)
    best = workspace / "best.yaml"
    studies = ["search", "ablation", "sensitivity"]
    with one_ray():
        n_failed = run_or_resume(search, workspace, used, search.name)
        picked = run_pick(search.name, workspace, plan=retraining.plan())
        write_config(picked.config, best)
        print_candidates(picked)
        n_failed += picked.n_failed
        for recipe in ("ablation", "sensitivity"):
            study = build_study(recipe, picked.config).with_budget(n_seeds=seeds)
            n_failed += run_or_resume(study, workspace, used, recipe)
        if compared:
            n_failed += run_peers(compared, workspace, used)
            studies.append(compared.name)
    drawn = draw_figures(studies, workspace, style=style)
    written = write_report(studies, workspace)
    console.print(f"Picked config: {best}")
    print_figures(drawn.paths)
    console.print(f"All of it on one page: {written.path}", soft_wrap=True)
    console.print(f"All runs: {command_line(workspace, 'ui')}", soft_wrap=True)
    print_findings(written.findings)
    if n_failed:
        raise typer.Exit(1)
