"""The notebooks of `notebooks/`: run from the first cell to the last in a kernel of their own."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat", reason="Notebooks are run with the extra 'notebooks'.")


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_of(path: Path) -> list[str]:
    return [cell["source"] for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks_and_the_docs_lead_to_each() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    assert [path.name for path in NOTEBOOKS if f"notebooks/{path.name}" not in page] == []
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_begins_with_its_installation(path: Path) -> None:
    book = read(path)
    nbformat.validate(book)
    assert not any(cell.get("outputs") for cell in book["cells"])
    assert "%pip install --quiet {SOURCE}" in code_of(path)[0]


def test_the_model_of_the_notebook_is_that_of_the_guide() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## A model in a package")[2]
    written = [
        cell for cell in code_of(ROOT / "notebooks" / "model_of_your_own.ipynb") if "%%writefile" in cell
    ]
    for language, cell in zip(("python", "toml"), written, strict=True):
        (block,) = re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)
        assert cell.partition("\n")[2].strip() == block.strip()


def shown(book: Any, kind: str) -> str:
    """What cells display of a kind, one after the other, without tags."""
    displayed = [output.get("data", {}) for cell in book["cells"] for output in cell.get("outputs", ())]
    return re.sub(r"<[^>]*>", "", "\n".join(data[kind] for data in displayed if kind in data))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("cells_to_figure_5", "text/html", "sensitivity: "),
        ("cells_to_figure_5", "image/png", "iVBOR"),
        ("search_in_a_notebook", "text/html", "Picked by Pearson-delta"),
        ("search_in_a_notebook", "text/html", "8/8 trials"),
        ("model_of_your_own", "text/html", "Config of text_map"),
    ],
)
def test_a_notebook_runs_and_shows_its_results(run_notebook: Any, name: str, kind: str, says: str) -> None:
    assert says in shown(run_notebook(name), kind)


@pytest.fixture(scope="module")
def run_notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run a notebook once, in an empty folder."""
    nbclient = pytest.importorskip("nbclient", reason="Notebooks are run with the extra 'notebooks'.")
    done: dict[str, Any] = {}

    def run(name: str) -> Any:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            book = read(ROOT / "notebooks" / f"{name}.ipynb")
            resources = {"metadata": {"path": str(folder)}}
            client = nbclient.NotebookClient(book, timeout=600, kernel_name="python3", resources=resources)
            done[name] = client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})
        return done[name]

    return run
