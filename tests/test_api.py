"""The functions of `adapert.api`, as a notebook calls them."""

import inspect
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import Simulated
from fixtures.copied import copy_store
from fixtures.narrowed import present
from fixtures.store import Store
from fixtures.trained import Trained

import adapert
from adapert.errors import InputError
from adapert.records import LONG_COLUMNS

FUNCTIONS = [name for name in adapert.__all__ if not name.startswith("_")]


def test_there_are_eleven_functions_and_each_says_what_it_takes_and_raises() -> None:
    assert len(FUNCTIONS) == 11
    for name in FUNCTIONS:
        function = getattr(adapert, name)
        described = present(inspect.getdoc(function))
        missing = [word for word in inspect.signature(function).parameters if f"{word}:" not in described]
        assert missing == [], name
        assert "Raises:" in described, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_answers_a_keyword_that_it_does_not_take(name: str) -> None:
    function = getattr(adapert, name)
    argument = next(iter(inspect.signature(function).parameters))
    with pytest.raises(
        InputError, match=f"^'{name}' has no argument '{argument}_'. Did you mean '{argument}'"
    ):
        function(**{f"{argument}_": "x"})


def test_importing_adapert_imports_nothing_heavy() -> None:
    code = "import sys, adapert; print([n for n in ('torch', 'ray', 'mlflow', 'pandas') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
    assert set(FUNCTIONS) <= set(dir(adapert))


def test_a_name_that_is_none_of_them_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'lunch'\. Did you mean 'launch'"):
        adapert.lunch  # noqa: B018


def test_results_are_data_frames(store: Store) -> None:
    trials = adapert.load_trials("ablate_parts", store.directory, columns="all")
    assert trials.equals(store.study("ablate_parts").frame)
    metrics = adapert.load_metrics("ablate_parts", str(store.directory))
    assert tuple(metrics.columns) == (*LONG_COLUMNS, "lambda_non", "non_deg_reduction")
    assert set(metrics["variant"]) == set(trials.loc[trials["status"] == "finished", "variant"])


def test_trials_have_few_columns_unless_more_are_asked_for(store: Store) -> None:
    trials = adapert.load_trials("vary_lambda", store.directory)
    assert list(trials) == [
        *("run", "variant", "seed", "status", "loss.lambda_non", "best_pearson_delta", "best_pds"),
    ]
    assert trials["loss.lambda_non"].tolist() == [0.0, 0.001]
    assert list(adapert.load_trials("vary_lambda", store.directory, columns=["run", "model.tau"])) == [
        "run",
        "model.tau",
    ]
    with pytest.raises(InputError, match=r"^Trials have no column 'model.tua'. Did you mean 'model.tau'"):
        adapert.load_trials("vary_lambda", store.directory, columns="model.tua")


def test_figures_and_a_report_are_written_where_they_are_asked_for(store: Store, tmp_path: Path) -> None:
    copied = tmp_path / "runs"
    copy_store(store, copied)
    drawn = adapert.draw_figures(["ablate_parts"], copied, tmp_path / "here", only=["claims"])
    assert [path.name for path in drawn.paths] == ["claims.csv", "claims.md", "claims.tex"]
    assert set(drawn.claims["verdict"]) <= {"supported", "not supported", "undecided"}
    written = adapert.write_report(["ablate_parts"], copied, tmp_path / "page.html")
    assert [finding.topic for finding in written.findings.findings] == ["parts", "certainty", "undecided"]
    assert written.path.read_text().lower().startswith("<!doctype html>")


@pytest.mark.usefixtures("small_pictures")
def test_what_is_drawn_of_a_study_is_copied_into_its_folder(trained: Trained, tmp_path: Path) -> None:
    workspace = tmp_path / "runs"
    shutil.copytree(trained.workspace, workspace)
    drawn = adapert.draw_figures("forms", workspace, tmp_path / "here")
    written = adapert.write_report("forms", workspace, tmp_path / "page.html")
    folder = workspace / "studies" / "forms"
    figures = {path.name: path.read_bytes() for path in drawn.paths if path.suffix == ".png"}
    assert figures
    assert {path.name: path.read_bytes() for path in (folder / "figures").iterdir()} == figures
    assert (folder / "report.html").read_bytes() == written.path.read_bytes()
    assert written.findings.sentences[0] in (folder / "findings.md").read_text().replace("\\", "")


def test_a_split_is_evaluated_and_counted(simulated: Simulated, tmp_path: Path) -> None:
    from adapert.comparison.plan import ComparisonPlan

    plan = ComparisonPlan(split="test", models=("control", "mean"))
    found = adapert.evaluate(data=simulated.prepared, workspace=tmp_path, plan=plan)
    assert set(found.summary["variant"]) >= {"control", "mean"}
    assert found.access.number == 1
    page = found._repr_html_()
    assert "This is access 1 to the test split of these data (no study)." in page
    mean = found.summary.set_index(["effect_size", "variant", "metric"])["mean"]["all", "control", "pds"]
    assert f">{mean:.4g}</td>" in page
    with pytest.raises(InputError, match="--again"):
        adapert.evaluate(data=simulated.prepared, workspace=tmp_path, plan=plan)


def test_a_study_is_not_launched_on_data_with_a_damaged_value(simulated: Simulated, tmp_path: Path) -> None:
    data = shutil.copytree(simulated.prepared, tmp_path / "data")
    delta = np.load(data / "validation" / "delta.npy")
    delta[0, 0] = np.inf
    np.save(data / "validation" / "delta.npy", delta)
    with pytest.raises(InputError, match=r"delta\.npy' holds values that are no finite numbers"):
        adapert.launch("quickstart", data, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_launched_study_has_the_name_that_it_is_given(simulated: Simulated, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"A study's name must be of letters.* but it is 'my study'"):
        adapert.launch("quickstart", simulated.prepared, tmp_path / "runs", name="my study")


def test_a_data_set_is_prepared_as_by_the_command(simulated: Simulated, tmp_path: Path) -> None:
    dataset = adapert.prepare(
        simulated.cells,
        simulated.network,
        simulated.embeddings,
        tmp_path / "data",
        split_fractions=(0.5, 0.2, 0.3),
    )
    assert (tmp_path / "data" / "manifest.json").is_file()
    assert dataset.manifest.split_seed == 0


def test_sources_are_named_by_mappings(simulated: Simulated, tmp_path: Path) -> None:
    dataset = adapert.prepare(
        simulated.cells,
        {"string": simulated.network, "screen": str(simulated.embeddings)},
        {"genept": simulated.embeddings},
        tmp_path / "data",
        split_fractions=(0.5, 0.2, 0.3),
    )
    assert dataset.manifest.networks == ("string", "screen")
    assert dataset.manifest.embeddings == ("genept",)
    with pytest.raises(InputError, match=r"'my go' is no such name"):
        adapert.prepare(
            simulated.cells, {"my go": simulated.network}, simulated.embeddings, tmp_path / "other"
        )


def test_mistakes_are_the_sentences_of_the_commands(store: Store) -> None:
    with pytest.raises(InputError, match="Did you mean 'ablate_parts'"):
        adapert.load_trials("ablate_part", store.directory)
    with pytest.raises(InputError, match="Figures need a source"):
        adapert.draw_figures()


def test_the_version_is_stated_once() -> None:
    declared = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert declared["project"]["dynamic"] == ["version"]
    assert declared["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "adapert.__version__"}


@pytest.mark.parametrize("package", ["adapert", "analysis", "search_spaces", "studies"])
def test_each_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert resources.files(package).joinpath("py.typed").is_file()
