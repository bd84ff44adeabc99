"""Words that several commands read alike."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from adapert.cli.options import ListCommand, parse_changes, split_list
from adapert.errors import InputError


@pytest.mark.parametrize("words", [["a,b", "c"], ["a b c"], ["a, b", ",c "], ["a", "b", "c"]])
def test_a_list_is_given_by_commas_by_spaces_or_word_by_word(words: list[str]) -> None:
    assert split_list("--models", words) == ["a", "b", "c"]


def test_a_list_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--models must be a list such as a,b or 'a b', but it is ', '\.$"):
        split_list("--models", [", "])
    assert split_list("--models", []) == []


@pytest.mark.parametrize(
    "given",
    [
        ["model.tau=0.5", "data.embeddings=text+rpe1", "data.path=a b, c=d"],
        ["model.tau=0.5,data.embeddings=text+rpe1 data.path=a b, c=d"],
    ],
)
def test_changes_are_given_one_by_one_or_as_a_list(given: list[str]) -> None:
    assert parse_changes(given, None) == {
        "model.tau": 0.5,
        "data.embeddings": "text+rpe1",
        "data.path": "a b, c=d",
    }


def test_commas_part_numbers_behind_an_option_of_several_and_leave_paths_whole() -> None:
    command = typer.Typer()

    @command.command(cls=ListCommand)
    def take(
        shares: Annotated[tuple[float, float], typer.Option("--shares")] = (0, 0),
        files: Annotated[tuple[Path, Path], typer.Option("--files")] = (Path(), Path()),
    ) -> None:
        typer.echo([*shares, *map(str, files)])

    given = ["--shares", "0.25,1e-2", "--files", "a b/x,1.h5ad", "y z.h5ad"]
    ended = CliRunner().invoke(command, given)
    assert ended.output == "[0.25, 0.01, 'a b/x,1.h5ad', 'y z.h5ad']\n"


@pytest.mark.parametrize(
    "given",
    [
        ["--models", "a", "b", "study", "--set", "c"],
        ["study", "--models", "a", "b", "--set", "c"],
        ["--set=c", "--models=a", "b", "study"],
        ["--models", "a", "--models", "b", "study", "--set", "c"],
    ],
)
def test_words_behind_a_list_are_of_it_unless_an_argument_needs_them(given: list[str]) -> None:
    command = typer.Typer()

    @command.command(cls=ListCommand)
    def take(
        study: Annotated[str, typer.Argument()],
        models: Annotated[list[str], typer.Option("--models")],
        changes: Annotated[list[str], typer.Option("--set")],
    ) -> None:
        typer.echo([study, *sorted(models), *changes])

    assert CliRunner().invoke(command, given).output == "['study', 'a', 'b', 'c']\n"


def test_a_word_too_many_that_follows_no_list_is_refused() -> None:
    command = typer.Typer()

    @command.command(cls=ListCommand)
    def take(models: Annotated[list[str], typer.Option("--models")]) -> None:
        typer.echo(models)

    ended = CliRunner().invoke(command, ["c", "--models", "a", "b"])
    assert ended.exit_code == 2
    assert "unexpected extra argument" in ended.output
    assert "(b)" not in ended.output
