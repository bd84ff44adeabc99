import ast
import json
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fixtures.edited import Copy

import adapert
from adapert.study.plan.definition import TRAINER
from adapert.study.plan.import_closure import digest_closure, find_closure, find_imports

Closure = Callable[[dict[str, str]], dict[str, Path]]

PACKAGE = Path(adapert.__file__).parent


def parsed_imports(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def write_package(folder: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(source))


@pytest.fixture
def closure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Closure:
    """Write files of a project, and find the closure of its module `work.trial`."""
    monkeypatch.syspath_prepend(tmp_path)

    def find(files: dict[str, str]) -> dict[str, Path]:
        write_package(tmp_path, {"work/__init__.py": "", **files})
        return find_closure("work.trial")

    return find


def test_modules_that_are_imported_by_imported_ones_count(closure: Closure) -> None:
    found = closure({"work/trial.py": "import work.a", "work/a.py": "from work import b", "work/b.py": ""})
    assert set(found) == {"work", "work.trial", "work.a", "work.b"}


def test_a_module_that_nobody_imports_does_not_count(closure: Closure) -> None:
    assert set(closure({"work/trial.py": "", "work/a.py": ""})) == {"work", "work.trial"}


def test_the_package_of_an_imported_module_counts_and_so_does_what_it_imports(closure: Closure) -> None:
    files = {"work/part/__init__.py": "import work.b", "work/part/a.py": "", "work/b.py": ""}
    found = closure({"work/trial.py": "from work.part.a import x", **files})
    assert set(found) == {"work", "work.trial", "work.part", "work.part.a", "work.b"}


def test_modules_may_import_each_other(closure: Closure) -> None:
    assert set(closure({"work/trial.py": "import work.a", "work/a.py": "import work.trial"})) == {
        "work",
        "work.trial",
        "work.a",
    }


def test_a_model_from_another_project_counts_with_what_it_imports(closure: Closure) -> None:
    files = {"theirs/model.py": "from .layers import Layer", "theirs/layers.py": "import single"}
    found = closure({"work/trial.py": "from theirs.model import Model", "single.py": "", **files})
    assert set(found) == {"work", "work.trial", "theirs.model", "theirs.layers", "single"}


def test_installed_packages_and_pythons_own_do_not_count(closure: Closure) -> None:
    found = closure({"work/trial.py": "import json, torch, __main__\nimport nowhere"})
    assert set(found) == {"work", "work.trial"}


def test_a_module_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'adapert\.nowhere'"):
        find_closure("adapert.nowhere")


IMPORTS = {
    "import a.b, c as d": {"a.b", "c"},
    "from a import b as x, c": {"a", "a.b", "a.c"},
    "from a import (\n    b,  # why (so)\n    c,\n)": {"a", "a.b", "a.c"},
    "from a import b, \\\n    c": {"a", "a.b", "a.c"},
    "def f():\n    if True:\n        import a": {"a"},
    "if True: import a; import b": {"a", "b"},
    "try:\n\timport a # or\nexcept ImportError: import b": {"a", "b"},
    "from . import a": {"work.part", "work.part.a"},
    "from ..x.y import a": {"work.x.y", "work.x.y.a"},
    '"""\nfrom what they import nothing comes\nimport of goods\n"""': set(),
    "# import a": set(),
    "important = 1\nfromage = 2": set(),
}


@pytest.mark.parametrize("source", IMPORTS)
def test_an_import_is_found_however_it_is_written(source: str) -> None:
    assert find_imports(source, "work.part.module", False) == IMPORTS[source]


def test_a_packages_own_relative_imports_begin_in_it() -> None:
    assert find_imports("from .a import b", "work.part", True) == {"work.part.a", "work.part.a.b"}


def test_no_import_of_the_project_is_missed() -> None:
    missed = {}
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        if names := parsed_imports(source) - find_imports(source, "adapert.x", False):
            missed[path] = names
    assert missed == {}


def rooms_of(modules: Iterable[str]) -> set[str]:
    return {".".join(name.split(".")[:2]) for name in modules}


def test_what_trains_and_evaluates_a_trial_is_in_its_closure() -> None:
    changing = {"adapert.data", "adapert.models", "adapert.training", "adapert.evaluation", "adapert.config"}
    assert changing <= rooms_of(find_closure(TRAINER))


def test_what_changes_no_number_of_a_trial_is_not_in_its_closure() -> None:
    modules = find_closure(TRAINER)
    assert not rooms_of(modules) & {"adapert.cli", "adapert.api", "adapert.tracking", "adapert.results"}
    assert {name.split(".")[0] for name in modules} == {"adapert"}


def digest_in(copy: Copy) -> dict[str, str]:
    code = f"import json; from {digest_closure.__module__} import digest_closure as digest"
    ended = copy.python(f"{code}; print(json.dumps(digest({TRAINER!r})))")
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_digests_do_not_depend_on_where_the_project_lies(package_copy: Copy) -> None:
    assert digest_in(package_copy) == digest_closure(TRAINER)


@pytest.mark.parametrize("module", ["differential", "effect_size", "regroup"])
def test_an_edit_of_a_module_that_the_trainable_imports_is_seen(package_copy: Copy, module: str) -> None:
    package_copy.edit(f"data/{module}.py")
    now, recorded = digest_in(package_copy), digest_closure(TRAINER)
    assert {name for name in now if now[name] != recorded[name]} == {f"adapert.data.{module}"}
