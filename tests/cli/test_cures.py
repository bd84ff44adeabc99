"""What messages advise exists: every option, command and object that a string of the sources names."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer.main
from fixtures.sources import ROOT, SOURCES, parse, path_name

from adapert.cli import app

OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts}
    for name, command in typer.main.get_group(app).commands.items()
}
ALL_OPTIONS = set.union({"--help", "--version"}, *OPTIONS.values())

FOREIGN = re.compile(r"docker run .*|ray (start|up) .*|pip install .*")
"""Other programs' commands, with options of theirs."""

FOREIGN_MODULES = {"adapert/tracking/provenance.py", "adapert/tracking/ui.py", "analysis/report/drawings.py"}
"""These run git and MLflow's server, and name a style of the page."""

ANY_COMMAND_DATA = {"prepared.py", "shipping.py", "simulate.py"}
"""Modules of `adapert/data` that other commands than `prepare` call."""

OPTION = re.compile(r"(?<![\w-])--[a-z](?:[a-z-]*[a-z])?")
COMMAND = re.compile(r"(?:['`]|: )adapert ([a-z]+)([^'`]*)")
OBJECT = re.compile(r"\badapert(?:\.[a-zA-Z_]\w*){2,}")


@cache
def texts_of(path: Path) -> tuple[str, ...]:
    """A module's strings, without docstrings; what is filled in is ``{}``."""
    return tuple(find_texts(parse(path)))


def find_texts(tree: ast.Module) -> Iterator[str]:
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


def test_every_option_that_a_string_names_exists() -> None:
    named = {path_name(path): named_options(path) for path in SOURCES}
    assert named.keys() >= FOREIGN_MODULES
    wrong = {name: options - ALL_OPTIONS for name, options in named.items() if name not in FOREIGN_MODULES}
    assert {name: options for name, options in wrong.items() if options} == {}


def test_every_command_that_a_string_names_exists_with_its_options() -> None:
    wrong = [
        f"{path_name(path)}: {text}"
        for path in SOURCES
        for text in texts_of(path)
        for command, words in COMMAND.findall(text)
        if command not in OPTIONS or not set(OPTION.findall(words)) <= OPTIONS[command]
    ]
    assert wrong == []


def test_every_object_that_a_string_names_exists() -> None:
    for name in {name for path in SOURCES for text in texts_of(path) for name in OBJECT.findall(text)}:
        pkgutil.resolve_name(name)


def test_what_preparing_advises_are_options_of_prepare() -> None:
    modules = [path for path in SOURCES if path.parent == ROOT / "adapert" / "data"]
    named = {path.name: named_options(path) for path in modules}
    assert named.keys() >= ANY_COMMAND_DATA
    wrong = {name: options - OPTIONS["prepare"] for name, options in named.items()}
    assert {name for name, options in wrong.items() if options} <= ANY_COMMAND_DATA


def test_the_check_finds_what_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Docs of --none."""\nx = f"Give --{1} or --none, {2}: run \'adapert nothing --trials 2\'."\n'
    )
    assert named_options(path) == {"--none", "--trials"}
    assert COMMAND.findall(texts_of(path)[0]) == [("nothing", " --trials 2")]
