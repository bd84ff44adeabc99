from pathlib import Path

import pytest

from adapert.config import Config
from adapert.errors import InputError
from adapert.study.plan.recipes import build_study, recipe_names

OWN = """
from adapert.study.plan.study import Design, Study

def study(base):
    return Study(name="mine", question="?", base=base, plan=Design(kind="ablation", variants={"full": {}}))
"""


def recipe(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return str(path)


def test_bundled_recipes_are_found_by_name() -> None:
    assert recipe_names() == [
        "ablation",
        "ablation_app",
        "ablation_cpa",
        "ablation_extended",
        "ablation_gears",
        "ablation_morph",
        "ablation_path",
        "ablation_perturbed_vae",
        "ablation_scvi",
        "ablation_state",
        "ablation_txpert",
        "add_one_in",
        "combinations",
        "importance",
        "leave_one_out",
        "network_noise",
        "priors",
        "quickstart",
        "references",
        "search",
        "search_app",
        "search_cpa",
        "search_forms",
        "search_gears",
        "search_kernel_ridge",
        "search_morph",
        "search_perturbed_vae",
        "search_scvi",
        "search_state",
        "search_txpert",
        "search_wide",
        "sensitivity",
        "single",
    ]
    assert build_study("search", Config()).name == "search"


def test_an_unknown_name_is_refused_with_the_nearest_or_all_names() -> None:
    with pytest.raises(
        InputError, match=r"no recipe 'serch'\. Did you mean 'search'\? Or name the path of a Python file"
    ):
        build_study("serch", Config())
    with pytest.raises(InputError, match=r"no recipe 'x'\. Recipes are ablation, .* and single\. Or name"):
        build_study("x", Config())


def test_a_recipe_of_the_user_s_own_starts_from_the_base_config(tmp_path: Path) -> None:
    base = Config().with_changes({"model.tau": 0.7})
    study = build_study(recipe(tmp_path, OWN), base)
    assert (study.name, study.base) == ("mine", base)


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file '.*missing\.py'"):
        build_study(str(tmp_path / "missing.py"), Config())


def test_a_directory_is_refused_as_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").mkdir()
    with pytest.raises(FileNotFoundError, match=r"'.*mine\.py' is a directory\. Name one, or .*: ablation, "):
        build_study(str(tmp_path / "mine.py"), Config())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def study(base) return 1", "SyntaxError: "),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
    ],
)
def test_a_file_that_does_not_import_is_refused_with_its_error(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(InputError, match=rf"The recipe '.*mine\.py' must import, but {error}"):
        build_study(recipe(tmp_path, text), Config())


def test_a_file_without_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must define study\(base\), but '.*mine\.py' does not"):
        build_study(recipe(tmp_path, "SPACE = {}"), Config())


def test_a_recipe_that_returns_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must return a Study, but '.*mine\.py' returned dict"):
        build_study(recipe(tmp_path, "def study(base):\n    return {}"), Config())


def test_a_recipe_s_own_wrong_field_is_refused(tmp_path: Path) -> None:
    text = OWN.replace('{"full": {}}', '{"full": {"model.tua": 1.0}}')
    with pytest.raises(InputError, match=r"no field 'model\.tua'\. Did you mean 'model\.tau'"):
        build_study(recipe(tmp_path, text), Config())


def test_a_recipe_that_fails_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = recipe(tmp_path, "def study(base):\n    return base.no_such_field\n")
    with pytest.raises(InputError, match=r"must run, but AttributeError: .*no_such_field"):
        build_study(path, Config())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise SystemExit(0)", "must import, but SystemExit: 0"),
        ("raise KeyError", "must import, but it raised KeyError"),
        ("raise ValueError('a\\nb')", "must import, but ValueError: a$"),
        ("def study(base):\n    raise SystemExit('bye')", "must run, but SystemExit: bye"),
        ("def study(base):\n    return study(base)", "must run, but RecursionError: "),
    ],
)
def test_a_recipe_ends_in_one_sentence_whatever_it_raises(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(InputError, match=error):
        build_study(recipe(tmp_path, text), Config())
