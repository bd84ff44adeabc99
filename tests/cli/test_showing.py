"""Commands that show results, and how they and `pick` refuse a store without an answer."""

from pathlib import Path

import pandas as pd
import pytest
from fixtures.command import Refused, RunCommand
from fixtures.dataset import write_prepared
from fixtures.store import Store

from adapert.data.prepared import PreparedDataset
from adapert.statistics.questions import VARIANTS


@pytest.mark.parametrize("words", [["pick", "search", "--out", "best.yaml"], ["figures", "search"]])
def test_a_workspace_without_a_study_is_refused(refused: Refused, words: list[str]) -> None:
    message = refused(*words)
    assert "There is no study 'search' in 'runs'. It has no study yet." in message
    assert "--workspace" in message


def test_pages_of_a_workspace_without_a_store_are_refused(refused: Refused) -> None:
    message = refused("ui")
    assert "mlflow.db" in message
    assert "--workspace" in message


@pytest.mark.parametrize("words", [["pick", "vary_lamda", "--out", "best.yaml"], ["figures", "vary_lamda"]])
def test_an_unknown_study_is_answered_with_the_nearest(
    refused: Refused, store: Store, words: list[str]
) -> None:
    assert "Did you mean 'vary_lambda'?" in refused(*words, "--workspace", store.directory)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["figures", "fresh_seeds"], "fresh_seeds (reevaluation)"),
        (["figures", "ablate_parts", "--split", "tset"], "must be one of validation, but it is 'tset'"),
        (["figures", "ablate_parts", "--split", "test"], "scored on validation perturbations only"),
        (["figures", "start_only"], "'start_only' has none"),
        (["pick", "start_only", "--out", "best.yaml"], "'start_only' has none"),
        (["figures"], "Name studies, or a folder with --data, --evaluation or --peers."),
        (["figures", "ablate_parts", "--only", "serch_history"], "Did you mean 'search_history'?"),
        (["figures", "ablate_parts", "--style", "papr"], "Did you mean 'paper'?"),
        (["figures", "ablate_parts", "--perturbation", "A"], "Add --evaluation FOLDER."),
        (["figures", "vary_lambda", "--pathways", "sets.gmt"], "Add --evaluation FOLDER."),
        (["figures", "vary_lambda", "--deg-change", "0.1"], "Add --data DIR."),
        (["figures", "--data", "nowhere", "--deg-change", "-1"], "--deg-change must be 0 or above"),
        (["figures", "search_wide", "--only", "claims"], "None of the sources has 'claims'"),
        (["figures", "--data", "nowhere"], "adapert prepare"),
        (["figures", "--evaluation", "nowhere"], "adapert evaluate"),
        (["figures", "--evaluation", "a=nowhere", "--evaluation", "b=there"], "adapert evaluate"),
        (["figures", "--evaluation", "a/test_1", "--evaluation", "b/test_1"], "--evaluation NAME=FOLDER"),
        (
            ["figures", "--evaluation", "a", "--evaluation", "b", "--pathways", "sets.gmt"],
            "--pathways goes with one evaluation, but 2 were named",
        ),
    ],
)
def test_wrong_questions_to_a_store_are_refused(
    refused: Refused, store: Store, words: list[str], says: str
) -> None:
    assert says in refused(*words, "--workspace", store.directory)


def test_figures_of_an_ablation_come_with_the_papers_claims(
    adapert: RunCommand, store: Store, tmp_path: Path
) -> None:
    words = ["figures", "ablate_parts", "--only", "claims", "--workspace", store.directory, "--out", tmp_path]
    ended = adapert(*words)
    assert ended.status == 0
    assert "the context helps" in ended.out
    assert {path.name for path in tmp_path.iterdir()} == {"claims.csv", "claims.md", "claims.tex"}
    assert VARIANTS.tests in " ".join(ended.out.split())
    claims = pd.read_csv(tmp_path / "claims.csv")
    assert claims.loc[claims["group"] == "small", "estimate"].tolist() == pytest.approx([0.1, 0.1, 0.1])


@pytest.mark.usefixtures("small_pictures")
def test_a_data_set_has_tables_and_figures(
    adapert: RunCommand, tiny_dataset: PreparedDataset, tmp_path: Path
) -> None:
    write_prepared(tiny_dataset, tmp_path / "data")
    out = tmp_path / "out"
    ended = adapert("figures", "--data", tmp_path / "data", "--only", "table_4_data", "--out", out)
    assert ended.status == 0
    assert {path.name for path in out.iterdir()} == {
        f"table_4_data.{ending}" for ending in ("csv", "md", "tex")
    }
    words = ["--only", "figure_7_deg_counts", "--style", "paper"]
    ended = adapert("figures", "--data", tmp_path / "data", "--out", out, *words)
    assert "figure_7_deg_counts.png (csv, txt, tex)" in ended.out
    assert (out / "figure_7_deg_counts.txt").read_text().startswith("DEGs by size of change")
    assert (
        (out / "figure_7_deg_counts.tex").read_text().startswith("\\caption{\\textbf{DEGs by size of change")
    )
