"""What the Python functions refuse, before any work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fixtures.command import Simulated
from fixtures.store import Store

import adapert
from adapert.arguments import Budget, check_fields, check_names, check_split
from adapert.config import Config
from adapert.data.choices import PrepareChoices
from adapert.errors import InputError
from adapert.study.execution.resources import Resources
from adapert.study.plan.recipes import build_study
from adapert.study.plan.study import BUDGET_OPTIONS


def refusals() -> list[tuple[str, Sequence[object], dict[str, Any], str]]:
    """Call, arguments and what the sentence must say."""
    search = build_study("search", Config())
    prepare = ("a.h5ad", "b.tsv", "c.npz", "out")
    return [
        ("launch", ["search"], {"budget": {"max_epochs": 10}}, r"changes=\{'training.max_epochs': 10\}"),
        ("launch", ["search"], {"budget": {"trials": 2}}, "no field 'trials'. Did you mean 'n_trials'"),
        ("launch", ["search"], {"budget": {"n_trials": "2"}}, "valid integer, but it is '2'"),
        ("launch", ["search"], {"budget": {"sampler": "tp"}}, "'tpe', 'random'.*but it is 'tp'"),
        ("launch", ["search"], {"budget": {"min_epochs": 0}}, "--min-epochs must be auto or a whole number"),
        ("launch", ["search"], {"budget": {"min_epochs": "no"}}, "valid integer, but it is 'no'"),
        ("launch", ["search"], {"budget": ["n_trials"]}, "'budget' must map names of fields"),
        (
            "launch",
            ["search"],
            {"changes": ["model.tau=0.5"]},
            "'changes' must map names .*Give a dictionary",
        ),
        ("launch", ["search"], {"changes": "model.tau=0.5"}, "but it is 'model.tau=0.5'"),
        ("launch", ["search"], {"resources": {"cpus": 1}}, "must be a Resources.*build_resources"),
        (
            "launch",
            ["search"],
            {"executor": "dask"},
            "must be one of ray, local, but it is 'dask'",
        ),
        ("launch", ["search"], {"executor": 7}, "'executor' must be one of ray, local, but it is 7"),
        ("launch", ["search"], {"limits": 3600}, r"must be a Limits, but it is 3600.*Limits\(seconds"),
        ("launch", ["search"], {"stores": "sqlite:///x"}, "must be a Stores"),
        ("launch", [None], {}, "'study' must be a str or Path or Study, but it is None"),
        ("launch", [7], {}, "'study' must be a str or Path or Study, but it is 7"),
        ("launch", [search], {"budget": {"n_trials": 2}}, "A whole Study has its own .*but budget came"),
        ("launch", [search, "data"], {}, "but data came with it"),
        ("pick", ["s"], {"plan": 3}, "must be a ReevaluationPlan, but it is 3"),
        ("pick", ["s"], {"resources": {"cpus": 2}}, "'resources' has no field 'cpus'"),
        ("pick", ["s"], {"resources": {"cpus_per_trial": 1.5}}, "'cpus_per_trial' of 'resources': .*1.5"),
        ("pick", [["s"]], {}, r"'study' must be a str, but it is \['s'\]"),
        ("evaluate", [], {"plan": {"split": "test"}}, "must be a ComparisonPlan"),
        ("evaluate", [], {"changes": [("model.tau", 1)]}, "'changes' must map"),
        ("evaluate", [], {"emit": "cells.h5ad"}, "'emit' must be a tuple"),
        ("compare", ["s", 7], {}, "'second' must be a str, but it is 7"),
        ("predict", ["s", ["KLF1", 7]], {}, "'perturbations' must be a name or a list of names"),
        ("predict", ["s", [""]], {}, "'perturbations' must be a name"),
        ("predict", ["s", 7], {}, "but it is 7. Give strings"),
        ("predict", [7, ["KLF1"]], {}, "'run' must be a str"),
        ("rerun", [None], {}, "'run' must be a str, but it is None"),
        ("rerun", ["s"], {"workspace": 7}, "'workspace' must be a path, but it is 7"),
        ("load_trials", [["s"]], {}, "'study' must be a str"),
        ("load_metrics", [7], {}, "'study' must be a str"),
        ("draw_figures", [{"s": 1, 2: 3}], {}, "'studies' must be a name"),
        ("draw_figures", ["s"], {"only": "clams"}, "Did you mean 'claims'"),
        ("draw_figures", ["s"], {"only": ["claims", "figure_5"]}, "'only' must be one of .*'figure_5'"),
        ("draw_figures", ["s"], {"split": "tset"}, "'split' must be one of validation, but it is 'tset'"),
        ("draw_figures", ["s"], {"split": "test"}, "scored on validation .*'adapert evaluate'"),
        ("draw_figures", ["s"], {"style": "screan"}, "Did you mean 'screen'"),
        ("draw_figures", ["s"], {"perturbation": "KLF1"}, "about an evaluation, but none"),
        ("write_report", ["s"], {"split": "test"}, "figures --evaluation FOLDER"),
        ("write_report", [[]], {}, "none was named"),
        ("prepare", prepare, {"spilt_seed": 1}, "no argument 'spilt_seed'. Did you mean 'split_seed'"),
        ("prepare", ("a.h5ad",), {"netwrok": "b.tsv"}, "no argument 'netwrok'. Did you mean 'network'"),
        ("prepare", prepare, {"kind": "cell"}, "'cells' or 'responses', but it is 'cell'"),
        ("prepare", prepare, {"n_genes": "500"}, "'n_genes' of 'choices': .*integer, but it is '500'"),
        ("prepare", prepare, {"split_fractions": 0.5}, "'split_fractions' of 'choices'"),
        ("launch", ["search"], {"n_trials": 3}, r"field of the budget: budget={'n_trials': \.\.\.}\."),
        ("launch", ["search"], {"tau": 3}, r"field of the config: changes={'model.tau': \.\.\.}\."),
        (
            "launch",
            ["search"],
            {"chnages": {}},
            r"^'launch' has no argument 'chnages'. Did you mean 'changes'",
        ),
        ("launch", ["search"], {"trials": 3}, r"Did you mean 'n_trials'\? .*budget={'n_trials': \.\.\.}\."),
        ("launch", ["search"], {"max_epoch": 3}, r"changes={'training.max_epochs': \.\.\.}\."),
        ("launch", ["search"], {"gpus_per_trial": 1}, "It is a field of the argument 'resources'"),
        ("launch", ["search"], {"trial_hours": 1}, "It is a field of the argument 'limits'"),
        ("launch", ["search"], {"name": 7}, "'name' must be a str, but it is 7"),
        (
            "launch",
            ["search"],
            {"study": "search"},
            "'launch' takes each .* but 'study' came by place and by",
        ),
        ("launch", [search], {"name": "x"}, "but name came with it"),
        ("load_trials", [], {}, "'load_trials' needs 'study', but 'study' is missing"),
        ("load_trials", ["s", "runs", "all"], {}, r"at most 2 .* by place \('study', 'workspace'\), but 3 c"),
        ("rerun", ["s"], {"x": 1}, r"has no argument 'x'. It has 'run', 'workspace', 'data'\."),
        ("evaluate", [], {"emit": ("a.h5ad",)}, "'emit' must be two files, but it is 1"),
        ("prepare", [7, *prepare[1:]], {}, "'cells' must be a path, but it is 7"),
    ]


@pytest.mark.parametrize(("function", "given", "named", "message"), refusals())
def test_what_cannot_be_meant_is_refused_in_a_sentence(
    function: str,
    given: Sequence[object],
    named: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as refused:
        getattr(adapert, function)(*given, **named)
    assert str(refused.value).rstrip().endswith((".", "?"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "given", "file"),
    [
        ("load_trials", ["s"], "workspace"),
        ("draw_figures", ["s"], "out"),
        ("draw_figures", [], "data"),
        ("draw_figures", [], "evaluation"),
        ("predict", ["s", "KLF1"], "data"),
        ("evaluate", [], "out"),
    ],
)
def test_a_file_is_no_directory(
    function: str,
    given: list[str],
    file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    simulated: Simulated,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "file"
    place.write_text("kept")
    named = {"data": simulated.prepared} if function == "evaluate" else {}
    with pytest.raises(InputError, match=f"'{file}' must be a directory, but '.*file' is a file"):
        getattr(adapert, function)(*given, **named, **{file: place})
    assert place.read_text() == "kept"


@pytest.mark.parametrize(
    ("function", "given", "folder"),
    [
        ("launch", ["search"], "config"),
        ("evaluate", [], "config"),
        ("write_report", ["s"], "out"),
        ("prepare", ["a", "b", "c", "out"], "aliases"),
    ],
)
def test_a_directory_is_no_file(
    function: str, given: list[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("")
    with pytest.raises(InputError, match=f"'{folder}' must be a file, but '.*' is a directory"):
        getattr(adapert, function)(*given, **{folder: Path(".")})


def test_a_single_name_is_one_name(store: Store, tmp_path: Path) -> None:
    assert check_names("perturbations", "KLF1") == ["KLF1"]
    drawn = adapert.draw_figures("ablate_parts", store.directory, tmp_path / "figures", only="claims")
    assert {path.stem for path in drawn.paths} == {"claims"}


def test_fields_are_taken_as_they_are_described() -> None:
    hints = get_type_hints(PrepareChoices)
    given = {"where": ["a=b"], "split_fractions": [0.5, 0.2, 0.3], "units": None, "n_genes": 5}
    assert check_fields("choices", given, hints) == {
        **{"where": ("a=b",), "split_fractions": (0.5, 0.2, 0.3), "units": None, "n_genes": 5}
    }
    used = {"gpus_per_trial": 1, "max_concurrent": None}
    assert check_fields("resources", used, get_type_hints(Resources)) == used
    assert check_fields("budget", None, get_type_hints(Budget)) == {}


def test_a_budget_has_the_fields_that_a_study_takes() -> None:
    # Users name a first rung by its epochs, or by "auto".
    assert get_type_hints(Budget).keys() - {"min_epochs"} == BUDGET_OPTIONS.keys() - {"first_rung"}
    with pytest.raises(InputError, match=r"no field 'trials'\. Did you mean 'n_trials'"):
        build_study("search", Config()).with_budget(trials=2)


def test_validation_is_the_split_of_studies() -> None:
    check_split("validation")
    with pytest.raises(InputError, match="have none of the test split"):
        check_split("test")
