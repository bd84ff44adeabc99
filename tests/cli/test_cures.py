"""What messages advise exists: every option, command and object that a string of the sources names."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from adapert.cli import app

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for package in ("adapert", "analysis", "search_spaces", "studies")
    for path in (ROOT / package).rglob("*.py")
)

OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts}
    for name, command in typer.main.get_group(app).commands.items()
}
ALL_OPTIONS = set.union({"--help", "--version"}, *OPTIONS.values())

FOREIGN = re.compile(r"docker run .*|ray (start|up) .*|pip install .*")
"""Other programs' commands, with options of theirs."""

FOREIGN_MODULES = {"adapert/tracking/provenance.py", "adapert/tracking/ui.py"}
"""These run git and MLflow's server."""

ANY_COMMAND_DATA = {"array_folder.py", "prepared.py", "shipping.py"}
"""Modules of `adapert/data` that every command reads prepared data with."""

OPTION = re.compile(r"(?<![\w-])--[a-z](?:[a-z-]*[a-z])?")
COMMAND = re.compile(r"(?:['`]|: )adapert ([a-z]+)([^'`]*)")
OBJECT = re.compile(r"\badapert(?:\.[a-zA-Z_]\w*){2,}")


def texts_of(path: Path) -> Iterator[str]:
    """Yield a module's strings, without docstrings; what is filled in is ``{}``."""
    tree = ast.parse(path.read_text())
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out.update(map(id, node.values))
        elif isinstance(node, ast.Expr):
            left_out.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def named_options(path: Path) -> set[str]:
    return {option for text in texts_of(path) for option in OPTION.findall(FOREIGN.sub("", text))}


def module_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_option_that_a_string_names_exists(path: Path) -> None:
    if module_name(path) in FOREIGN_MODULES:
        pytest.skip("runs another program")
    assert named_options(path) <= ALL_OPTIONS


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_command_that_a_string_names_exists_with_its_options(path: Path) -> None:
    for text in texts_of(path):
        for command, words in COMMAND.findall(text):
            assert command in OPTIONS, text
            assert set(OPTION.findall(words)) <= OPTIONS[command], text


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_object_that_a_string_names_exists(path: Path) -> None:
    for text in texts_of(path):
        for name in OBJECT.findall(text):
            pkgutil.resolve_name(name)


@pytest.mark.parametrize("path", sorted((ROOT / "adapert" / "data").glob("*.py")), ids=module_name)
def test_what_preparing_advises_are_options_of_prepare(path: Path) -> None:
    if path.name in ANY_COMMAND_DATA:
        pytest.skip("reads what was prepared")
    assert named_options(path) <= OPTIONS["prepare"]


def test_the_check_finds_what_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Docs of --none."""\nx = f"Give --{1} or --none, {2}: run \'adapert nothing --trials 2\'."\n'
    )
    assert named_options(path) == {"--none", "--trials"}
    assert COMMAND.findall(next(texts_of(path))) == [("nothing", " --trials 2")]
