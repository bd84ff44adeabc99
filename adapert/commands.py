"""Commands as messages name them, so that they can be copied."""

import shlex
from pathlib import Path

DEFAULT_WORKSPACE = Path("runs")
"""Workspace of a command that names none."""


def in_workspace(workspace: Path, *words: str) -> str:
    """Put together a command's words so that it finds a workspace: ``"search --workspace w2"``.

    The workspace is left out where it is the one that commands take without being told.

    Args:
        workspace: Workspace that the command is for; one below the working directory is named from there.
        words: Words of the command, not quoted yet.

    Returns:
        The words, quoted for a shell.
    """
    place, here = workspace.resolve(), Path.cwd()
    if place == DEFAULT_WORKSPACE.resolve():
        return shlex.join(words)
    shown = place.relative_to(here) if place.is_relative_to(here) else workspace
    return shlex.join([*words, "--workspace", str(shown)])
