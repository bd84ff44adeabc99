import pytest
import typer

from adapert.cli import app
from benchmarks.at_scale import COMMANDS


@pytest.mark.parametrize("words", [words for words, _ in COMMANDS.values()], ids=list(COMMANDS))
def test_what_is_timed_are_commands_with_their_arguments(words: list[str]) -> None:
    name, *arguments = words
    command = typer.main.get_group(app).commands[name]
    assert command.make_context(name, [*arguments, "--workspace", "runs"])
