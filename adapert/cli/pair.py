"""The command compare."""

from typing import Annotated

import typer

from adapert.cli.as_json import describe_pair, print_json
from adapert.cli.completion import complete_trial
from adapert.cli.options import AsJson, Workspace
from adapert.cli.printing import console, print_table, show_value
from adapert.commands import DEFAULT_WORKSPACE
from adapert.errors import format_count


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="FIRST",
            help="STUDY/TRIAL such as search/007, STUDY (its pick), a YAML config or preset.",
            autocompletion=complete_trial,
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The same.", autocompletion=complete_trial)],
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
) -> None:
    """Compare two trials or configs: the fields that differ, and validation metrics in pairs.

    Differences are SECOND minus FIRST. A config has the trials that any study of the workspace tried it with.
    """
    from adapert.api import compare as compare_pair
    from adapert.cli.comparison import build_pair_table

    compared = compare_pair(first, second, workspace)
    if as_json:
        print_json(describe_pair(compared))
        return
    names = [side.name for side in (compared.first, compared.second)]
    for side in (compared.first, compared.second):
        trials = f": {format_count(len(side.trials), 'trial')}" if side.trials else ""
        console.print(f"{side.name} ({side.config.model.name}){trials}", soft_wrap=True)
    console.print()
    rows = [(field, *map(show_value, values)) for field, *values in compared.config.to_numpy().tolist()]
    if rows:
        print_table(("field", *names), rows)
    else:
        console.print("They have the same config.")
    if len(compared.metrics):
        console.print()
        console.print(build_pair_table(compared))
        console.print(f"{compared.second.name} minus {compared.first.name}, paired by perturbation.")
    console.print()
    for sentence in compared.sentences:
        console.print(sentence, soft_wrap=True)
    for note in compared.notes:
        console.print(f"Note: {note}", style="dim", soft_wrap=True)
