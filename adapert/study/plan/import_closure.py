"""The modules that a module's results depend on: all that it imports, directly or not, that is project code.

Imports are found in the text, so nothing is run: also those inside functions count, and those that a name in
a string stands for (`importlib.import_module`) do not.
"""

import ast
import hashlib
import re
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

STATEMENT = re.compile(
    r"""
    (?:^|[;:]) [ \t]*  # where a statement may begin
    (
        from \s [^\n;\#()]*? \b import \s* \( (?: [^)\#] | \#.* )* \)  # names over several lines
      | (?:from|import) \b (?: [^\n;\#\\] | \\ \n )*
    )
    """,
    re.MULTILINE | re.VERBOSE,
)
"""What looks like an import: parsing whole files would take four times as long."""

INSTALLED = {"site-packages", "dist-packages"}
"""Folders whose packages are known by their versions; all others are project code."""


def digest_closure(module: str) -> dict[str, str]:
    """Digest the content of each module in a module's closure.

    Args:
        module: Dotted name. Its own package is project code, and so is every package that is neither Python's
            own nor installed.

    Returns:
        Dotted name to digest, sorted; the same wherever the code lies.

    Raises:
        ModuleNotFoundError: No such module.
    """
    digests = {
        name: hashlib.blake2b(file.read_bytes(), digest_size=6).hexdigest()
        for name, file in find_closure(module).items()
    }
    return dict(sorted(digests.items()))


def find_closure(module: str) -> dict[str, Path]:
    """Find the files of a module, of what it imports, and of the packages that those are in.

    Raises:
        ModuleNotFoundError: No such module.
    """
    own = module.partition(".")[0]
    roots = {own: _find_root(own)}
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        top, *inner = name.split(".")
        if top not in roots:
            roots[top] = None if top in sys.stdlib_module_names else _find_root(top)
        root = roots[top]
        if root is None or name in seen or (top != own and INSTALLED & set(root.parts)):
            continue
        seen.add(name)
        if inner:
            waiting.add(name.rpartition(".")[0])
        here = root.joinpath(*inner)
        for file in (here / "__init__.py", here.with_name(f"{here.name}.py")):
            if file.is_file():
                found[name] = file
                waiting |= find_imports(file.read_text(encoding="utf-8"), name, file.name == "__init__.py")
                break
    if module not in found:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)
    return found


@lru_cache(maxsize=1024)
def find_imports(source: str, module: str, is_package: bool) -> frozenset[str]:
    """Find the dotted names that a source imports; of ``from x import y`` both ``x`` and ``x.y``.

    Args:
        source: Python.
        module: Name of the source's module, for relative imports.
        is_package: Whether that is a package's ``__init__``.
    """
    names: set[str] = set()
    for match in STATEMENT.finditer(source):
        try:
            (node, *_) = ast.parse(match[1]).body
        except (SyntaxError, ValueError):  # a sentence of a docstring
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: None if is_package else -1]
            above = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            names |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _find_root(top: str) -> Path | None:
    """Find the path of a top-level module, without the ending of a file; None where there is none."""
    try:
        spec = find_spec(top)
    except ValueError:  # of a module that was made by hand, such as __main__
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0])
    return Path(spec.origin).with_suffix("") if spec.origin else None
