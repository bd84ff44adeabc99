import ast

from fixtures.sources import SOURCES, parse, path_name


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


def test_text_files_are_utf8_whatever_the_locale() -> None:
    calls = [
        (path, node)
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and opens_text(node)
    ]
    assert len(calls) > 20
    unnamed = [
        f"{path_name(path)}:{call.lineno}"
        for path, call in calls
        if not any(word.arg == "encoding" for word in call.keywords)
    ]
    assert unnamed == []
