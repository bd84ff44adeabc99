"""The command pick."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.as_json import describe_pick, print_json
from adapert.cli.options import (
    AsJson,
    KeptResources,
    MovedData,
    Retraining,
    StudyName,
    Workspace,
)
from adapert.cli.printing import console, print_candidates
from adapert.cli.running import command_line, run_pick
from adapert.commands import DEFAULT_WORKSPACE
from adapert.errors import InputError, join_words
from adapert.files import check_writable


def pick(
    study: StudyName,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="YAML file for the picked config; default: WORKSPACE/STUDY_best.yaml."),
    ] = None,
    *,
    workspace: Workspace = DEFAULT_WORKSPACE,
    objective: Annotated[
        str, typer.Option("--objective", help="pearson_delta, pds, another metric, or pareto.")
    ] = "pearson_delta",
    retraining: Retraining,
    no_reevaluation: Annotated[
        bool, typer.Option("--no-reevaluation", help="Pick the study's best without retraining.")
    ] = False,
    resources: KeptResources,
    data: MovedData = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the ranking and the number of trainings.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pick the best config on validation, after retraining the best few on fresh seeds and redrawn splits.

    Repeat the command to continue after an interruption; configs that were retrained before are reused.
    """
    from adapert.config import write_config

    if no_reevaluation:
        _refuse_retraining(retraining, resources)
    if dry_run:
        _print_expected(study, workspace, objective, retraining, no_reevaluation, as_json)
        return
    if out and out.is_dir():
        raise InputError(
            f"--out must be a file, but '{out}' is a directory. Name a file: '{out / 'best.yaml'}'."
        )
    out = out or workspace / f"{study}_best.yaml"
    check_writable(out)
    picked = run_pick(
        study,
        workspace,
        objective=objective,
        plan=None if no_reevaluation else retraining.plan(),
        is_reevaluated=not no_reevaluation,
        resources=None if no_reevaluation else resources.changes(),
        data=data,
    )
    write_config(picked.config, out)
    if as_json:
        print_json(describe_pick(study, picked, out))
        return
    print_candidates(picked)
    is_adapert = picked.config.model.name == "adapert"  # the recipe takes its parts away
    words = ["launch", "ablation", "--config", str(out)] if is_adapert else ["evaluate", str(out)]
    console.print(f"Wrote {out}. Next: {command_line(workspace, *words)}", soft_wrap=True)


def _refuse_retraining(*groups: Retraining | KeptResources) -> None:
    """Refuse options of the retraining where nothing is retrained."""
    given = [
        f"--{option.name.replace('_', '-')}"
        for group in groups
        for option in fields(group)
        if getattr(group, option.name) != option.default
    ]
    if given:
        raise InputError(
            f"--no-reevaluation retrains nothing, but {join_words(given)} came with it. Leave out the one or "
            "the other."
        )


def _print_expected(
    study: str,
    workspace: Path,
    objective: str,
    retraining: Retraining,
    no_reevaluation: bool,
    as_json: bool,
) -> None:
    """Print what picking would train and, where that is nothing, the pick."""
    from dataclasses import replace

    from adapert.results.find import open_study
    from adapert.selection.reevaluate import expect_retraining, rank_with_intervals

    if no_reevaluation:
        picked, n_left = rank_with_intervals(open_study(workspace, study), objective), 0
        said = "Picking would train nothing."
    else:
        expected = expect_retraining(workspace, study, objective, retraining.plan())
        picked, n_left, said = expected.picked, expected.n_left, expected.describe()
    if not n_left:
        said = f"{picked.reason} {said}"
    if as_json:
        print_json(describe_pick(study, picked, None) | {"n_trainings": n_left})
    else:
        print_candidates(replace(picked, reason=said))
