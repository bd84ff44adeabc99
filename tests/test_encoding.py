import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("adapert", "analysis", "search_spaces", "studies")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def opens_text(call: ast.Call) -> bool:
    """Whether a call reads or writes text by a method of a path, or opens a file for it."""
    if not isinstance(call.func, ast.Attribute) or any(word.arg is None for word in call.keywords):
        return False
    if call.func.attr != "open":
        return call.func.attr in ("read_text", "write_text")
    if isinstance(call.func.value, ast.Name) and call.func.value.id in ("archive", "runner"):
        return False  # an archive's members are bytes, and a runner opens a session
    modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    said = {word.arg for word in call.keywords}  # else it opens something else, such as a study
    return said <= {"mode", "encoding"} and not any("b" in str(mode) for mode in modes)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_files_are_utf8_whatever_the_locale(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    calls = [node for node in nodes if isinstance(node, ast.Call) and opens_text(node)]
    named = [any(word.arg == "encoding" for word in call.keywords) for call in calls]
    assert [call.lineno for call, is_named in zip(calls, named, strict=True) if not is_named] == []
