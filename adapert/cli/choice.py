"""The command that chooses: pick."""

from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.options import DEFAULT_WORKSPACE, Workspace
from adapert.cli.printing import console, print_candidates


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
    print_candidates(picked)
    write_config(picked.config, out)
    console.print(
        f"Wrote {out}. Next: adapert launch ablation --config {out} --workspace {workspace}", soft_wrap=True
    )
