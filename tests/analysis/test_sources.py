"""What is drawn of a data set, an evaluation and a comparison, from folders as the commands write them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.dataset import write_prepared
from fixtures.predictions import build_predictions, predict_test_split, write_predictions
from fixtures.store import MakeTable

from adapert import api
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.results.find import open_study
from analysis.figures.recipes import draw_figures
from analysis.predictions import Predictions
from analysis.sources import (
    build_joined_tables,
    build_study_tables,
    draw_data,
    draw_evaluation,
    draw_evaluations,
    draw_joined_tables,
    draw_study_tables,
    join_comparisons,
    open_comparison,
    parse_comparisons,
    parse_evaluations,
)

pytestmark = pytest.mark.usefixtures("small_pictures")

FIGURE_8 = "figure_8_graph_coverage"


def _write_evaluation(
    folder: Path, predictions: Predictions, make_table: Callable[..., pd.DataFrame], fingerprint: str
) -> Path:
    """Write what 'adapert evaluate' writes, with made-up scores."""
    rows = [
        {"variant": variant, "perturbation": name, "effect_size": group, "metric": metric, "value": 0.5}
        for variant in predictions.variants
        for name, group in zip(predictions.perturbations, predictions.effect_size, strict=True)
        for metric in ("pearson_delta", "pds", "rank_overlap_at_50", "rank_overlap_at_N")
    ]
    write_predictions(predictions, folder)
    make_table(rows, study="evaluate", split="test").to_parquet(folder / "per_perturbation.parquet")
    opened = {
        "split": "test",
        "data_fingerprint": fingerprint,
        "n_perturbations": len(predictions.perturbations),
    }
    (folder / "evaluation.json").write_text(json.dumps({"opened": opened, "models": []}))
    return folder


@pytest.fixture
def prepared(tiny_dataset: PreparedDataset, tmp_path: Path) -> Path:
    write_prepared(tiny_dataset, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def evaluate_as(
    tiny_dataset: PreparedDataset, make_table: MakeTable, tmp_path: Path
) -> Callable[[str], Path]:
    """Write an evaluation of the tiny data set's test split, as of data with a fingerprint."""
    predictions = predict_test_split(tiny_dataset, ("adapert", "mean"))
    return lambda fingerprint: _write_evaluation(tmp_path / "test_001", predictions, make_table, fingerprint)


def test_figure_8_follows_an_evaluated_models_genes(
    prepared: Path, tiny_dataset: PreparedDataset, evaluate_as: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = evaluate_as(tiny_dataset.fingerprint)
    draw_data(prepared, tmp_path / "with", folder, only=[FIGURE_8])
    draw_data(prepared, tmp_path / "without", only=[FIGURE_8])
    sets = {
        name: set(pd.read_csv(tmp_path / name / f"{FIGURE_8}.csv")["gene_set"])
        for name in ("with", "without")
    }
    assert sets["with"] - sets["without"] == {"top 10 of AdaPert", "top 20 of AdaPert", "DEGs among these"}


def test_an_evaluation_of_other_data_is_refused_before_anything_is_drawn(
    prepared: Path, evaluate_as: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"is of data f00, .* Name the evaluation's own data"):
        draw_data(prepared, tmp_path / "out", evaluate_as("f00"))
    assert not (tmp_path / "out").exists()


def test_figure_8_is_of_models_of_the_scored_data(
    prepared: Path, tiny_dataset: PreparedDataset, evaluate_as: Callable[[str], Path], tmp_path: Path
) -> None:
    record = json.loads(
        (folder := evaluate_as(tiny_dataset.fingerprint)).joinpath("evaluation.json").read_text()
    )
    record["opened"]["trained_on"] = "f00"
    (folder / "evaluation.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"were trained on data f00 and scored on data tiny\. Name"):
        draw_data(prepared, tmp_path / "out", folder)


def test_several_evaluations_are_named_or_have_their_folders_names(tmp_path: Path) -> None:
    assert parse_evaluations(["k562=runs/test_001", "other/test=2", "./a=b"]) == {
        "k562": Path("runs/test_001"),
        "test=2": Path("other/test=2"),
        "a=b": Path("./a=b"),
    }
    with pytest.raises(InputError, match=r"'test_1' is given twice: 'a/test_1' and 'b/test_1'\. Name them"):
        parse_evaluations(["a/test_1", "b/test_1"])
    for text in ("=folder", "k562="):
        with pytest.raises(InputError, match=f"given as FOLDER or NAME=FOLDER, but it is '{text}'"):
            parse_evaluations([text])


def test_several_evaluations_have_tables_side_by_side_and_nothing_else(
    make_table: MakeTable, tmp_path: Path
) -> None:
    folders = {
        name: _write_evaluation(tmp_path / name, build_predictions(), make_table, fingerprint)
        for name, fingerprint in (("k562", "f00"), ("rpe1", "f11"))
    }
    drawn = api.draw_figures(evaluation=folders, out=tmp_path / "out")
    stems = ("table_1_joint", "table_2_joint")
    names = [f"{stem}.{ending}" for stem in stems for ending in ("csv", "md", "tex")]
    assert [path.name for path in drawn.paths] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    written = pd.read_csv(drawn.paths[0])
    assert written.groupby("data_fingerprint")["evaluation"].unique().map(list).to_dict() == {
        "f00": ["k562"],
        "f11": ["rpe1"],
    }
    chosen = draw_evaluations(folders, tmp_path / "one", only=["table_2_joint"])
    assert {path.stem for path in chosen} == {"table_2_joint"}


def test_the_same_evaluation_is_not_set_beside_itself(
    evaluate_as: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = evaluate_as("f00")
    with pytest.raises(InputError, match=r"test_001' are the same folder\. Name each once"):
        draw_evaluations({"a": folder, "b": folder / ".." / folder.name}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_gene_sets_bring_a_table_of_all_perturbations(make_table: MakeTable, tmp_path: Path) -> None:
    predictions = build_predictions()
    folder = _write_evaluation(tmp_path / "test_001", predictions, make_table, "f00")
    sets = {"UP": range(20), "ANY": range(1, 60, 3), "LAST": range(40, 60)}
    lines = ["\t".join([name, "", *(f"G{gene:02d}" for gene in genes)]) for name, genes in sets.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    stems = ["table_pathways"]
    paths = draw_evaluation(folder, tmp_path / "out", pathways=tmp_path / "sets.gmt", only=stems)
    assert [path.name for path in paths] == [f"table_pathways.{ending}" for ending in ("csv", "md", "tex")]
    table = pd.read_csv(paths[0]).set_index("variant")
    assert table.index.tolist() == ["adapert", "mean"]
    assert table["mean_r"]["adapert"] > 0.5
    assert draw_evaluation(folder, tmp_path / "none", only=stems) == []


def test_a_panel_too_small_for_pathways_keeps_all_other_tables(
    make_table: MakeTable, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    folder = _write_evaluation(tmp_path / "test_001", build_predictions(), make_table, "f00")
    (tmp_path / "few.gmt").write_text("FEW\t\tG00\tG01\tG02\n")
    paths = draw_evaluation(folder, tmp_path / "out", pathways=tmp_path / "few.gmt")
    assert {path.stem for path in paths} == {
        "figure_1_prediction",
        "table_1_performance",
        "table_2_differential_expression",
        "table_3_effect_sizes",
    }
    for what in ("figure_9_pathways", "table_pathways"):
        (reason,) = [line for line in logged.messages if line.startswith(f"Left out {what}: ")]
        assert "must have 15 to 500 of the 60 measured genes, but the largest" in reason
    for stem in ("figure_9_pathways", "table_pathways"):
        with pytest.raises(InputError, match="must have 15 to 500"):
            draw_evaluation(folder, tmp_path / "no", pathways=tmp_path / "few.gmt", only=[stem])
    assert not (tmp_path / "no").exists()


def test_data_without_a_deg_keep_their_tables(
    make_table: MakeTable, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    predictions = build_predictions()
    without = replace(predictions, deg_mask=np.zeros_like(predictions.deg_mask))
    folder = _write_evaluation(tmp_path / "test_001", without, make_table, "f00")
    paths = draw_evaluation(folder, tmp_path / "out")
    assert {path.stem.split("_")[1] for path in paths} == {"1", "2", "3"}
    assert any(line.startswith("Left out Figures 1 and 9: ") for line in logged.messages)


def test_a_comparison_has_two_figures_and_two_tables(peers_workspace: Path, tmp_path: Path) -> None:
    studies = [open_study(peers_workspace, "peers"), open_study(peers_workspace, "peers_adapert")]
    drawn = draw_figures(studies[:1], tmp_path)["peers"]
    assert [path.stem for path in drawn if path.suffix == ".png"] == ["leaderboard", "expected_best"]
    written = draw_study_tables(studies, tmp_path)
    assert [path.name for path in written if path.suffix == ".md"] == [
        "table_leaderboard.md",
        "table_leaderboard_effect_sizes.md",
    ]
    assert not {path.name for path in drawn} & {path.name for path in written}


def test_only_the_tables_that_are_named_are_written(peers_workspace: Path, tmp_path: Path) -> None:
    study = open_study(peers_workspace, "peers")
    assert draw_study_tables([study], tmp_path, only=["leaderboard"]) == []
    written = draw_study_tables([study], tmp_path, only=["table_leaderboard"])
    assert [path.name for path in written] == [f"table_leaderboard.{end}" for end in ("csv", "md", "tex")]


def test_another_split_than_the_trials_have_shows_nothing(peers_workspace: Path) -> None:
    with pytest.raises(InputError, match="has the split 'test'"):
        build_study_tables(open_study(peers_workspace, "peers"), "test")


def test_comparisons_of_two_data_sets_stand_side_by_side(
    peers_workspace: Path, named_peers_workspace: Path, tmp_path: Path
) -> None:
    folder = named_peers_workspace / "studies" / "peers_k562"
    further = {"k562": open_comparison(folder)}
    joined = join_comparisons([open_study(peers_workspace, "peers")], further)
    paths = draw_joined_tables(joined, tmp_path, only=("table_1_systems",))
    assert [path.name for path in paths] == [f"table_1_systems.{end}" for end in ("csv", "md", "tex")]
    table = pd.read_csv(paths[0])
    assert table.groupby("data", sort=False)["study"].unique().map(list).to_dict() == {
        "peers": ["peers"],
        "k562": ["peers_k562"],
    }
    assert draw_joined_tables(joined, tmp_path, only=("leaderboard",)) == []
    assert build_joined_tables(joined, "test") == []


def test_a_folder_that_is_no_comparison_and_a_name_that_is_there_twice_are_refused(
    peers_workspace: Path, named_peers_workspace: Path
) -> None:
    studies = peers_workspace / "studies"
    with pytest.raises(InputError, match=r"has no 'ledger\.jsonl'"):
        open_comparison(studies)
    with pytest.raises(InputError, match="is of the design 'search'"):
        open_comparison(studies / "peers_adapert")
    study = open_study(peers_workspace, "peers")
    with pytest.raises(InputError, match="but 'peers' is there twice"):
        join_comparisons([study], {"peers": study})
    with pytest.raises(InputError, match="but 'peers' is there twice"):
        join_comparisons([study, study])
    named = parse_comparisons([str(named_peers_workspace / "studies" / "peers_k562"), f"a={studies}"])
    assert list(named) == ["k562", "a"]


def test_comparisons_of_other_workspaces_alone_are_a_source_of_tables(
    named_peers_workspace: Path, tmp_path: Path
) -> None:
    folder = named_peers_workspace / "studies" / "peers_k562"
    drawn = api.draw_figures(out=tmp_path, peers=folder, only="table_3_systems")
    assert {path.name for path in drawn.paths} == {f"table_3_systems.{end}" for end in ("csv", "md", "tex")}
    assert set(pd.read_csv(tmp_path / "table_3_systems.csv")["data"]) == {"k562"}
