from pathlib import Path

import pandas as pd
import pytest

from adapert.results.find import open_study
from analysis.leaderboard.load import load_leaderboard
from analysis.leaderboard.summary import rank_combinations, summarize_leaderboard
from analysis.tables.leaderboard import build_leaderboard_tables
from analysis.tables.table import PaperTable, write_table

NONE = pd.DataFrame()
"""No combinations."""


@pytest.fixture(scope="module")
def summary(peers_workspace: Path) -> pd.DataFrame:
    return summarize_leaderboard(load_leaderboard(open_study(peers_workspace, "peers")))


@pytest.fixture(scope="module")
def tables(summary: pd.DataFrame) -> list[PaperTable]:
    return build_leaderboard_tables(summary, NONE)


def test_a_row_says_rank_cost_and_what_the_search_gained(
    tables: list[PaperTable], summary: pd.DataFrame
) -> None:
    cells = tables[0].cells.set_index("System")
    row = cells.loc["kernel ridge"]
    assert (row["Rank"], row["Sources"], row["Trials"], row["Parameters"]) == (
        "1 [1, 1]",
        "network, text",
        "6",
        "-",
    )
    means = summary[(summary["effect_size"] == "all") & (summary["metric"] == "pearson_delta")]
    mean = means.set_index("variant")["mean"]
    expected = f"{mean['kernel_ridge:default']:.3f} → {mean['kernel_ridge:tuned']:.3f}"
    assert row["Pearson-delta ↑"] == expected
    assert cells.loc["mean change", "Pearson-delta ↑"] == f"{mean['mean']:.3f}"
    assert (cells.loc["mean change", "Trials"], cells.loc["mean change", "Hours"]) == ("-", "-")
    assert row["wins over learned kernel"] == "10 : 0"
    assert row["minus learned kernel"].startswith("+0.1")
    assert cells.loc["AdaPert", "minus AdaPert"] == "-"


def test_groups_are_named_once_and_those_that_read_nothing_are_last(tables: list[PaperTable]) -> None:
    assert tables[0].cells["Reads"].tolist() == ["one network", "", "", "no network", "nothing"]


def test_effect_sizes_have_a_table_of_their_own(tables: list[PaperTable]) -> None:
    by_size = tables[1].cells
    assert list(by_size.columns) == ["Reads", "System", "small (n=5)", "large (n=5)"]
    assert by_size.loc[by_size["System"] == "kernel ridge", "large (n=5)"].item().endswith("rank 1 [1, 1]")


def test_tables_are_written_in_three_forms(tables: list[PaperTable], tmp_path: Path) -> None:
    csv, markdown, latex = write_table(tables[0], tmp_path)
    assert pd.read_csv(csv)["variant"].nunique() == 7
    assert "| kernel ridge | network, text | 1 \\[1, 1] |" in markdown.read_text()
    assert r"$\rightarrow$" in latex.read_text()
    assert "own version" in markdown.read_text()


def test_a_constant_prediction_has_neither_rank_nor_wins(peers_workspace: Path) -> None:
    frame = load_leaderboard(open_study(peers_workspace, "peers"))
    is_flat = (frame["variant"] == "mean") & (frame["metric"] == "pearson_delta")
    summary = summarize_leaderboard(frame.assign(value=frame["value"].mask(is_flat)))
    row = build_leaderboard_tables(summary, NONE)[0].cells.set_index("System").loc["mean change"]
    assert (row["Rank"], row["Pearson-delta ↑"], row["minus AdaPert"], row["wins over AdaPert"]) == ("-",) * 4
    assert row["PDS ↑"] != "-"


def test_systems_that_read_another_screen_are_a_group_of_their_own(peers_workspace: Path) -> None:
    frame = load_leaderboard(open_study(peers_workspace, "peers"))
    further = frame.assign(group=frame["group"].mask(frame["system"] == "adapert", "further embeddings"))
    table, by_size = build_leaderboard_tables(summarize_leaderboard(further), NONE)
    for cells in (table.cells, by_size.cells):
        assert (cells.at[0, "Reads"], cells.at[0, "System"]) == ("further embeddings", "AdaPert")
        assert cells.at[1, "Reads"] == "one network"


def test_systems_are_ranked_on_combinations_by_their_unseen_genes(
    peers_workspace: Path, summary: pd.DataFrame
) -> None:
    frame = load_leaderboard(open_study(peers_workspace, "peers"))
    assert rank_combinations(frame).empty
    pairs = frame.assign(
        perturbation=frame["perturbation"].map(lambda name: f"{name}+K" if name in "ABCVWX" else name),
        n_unseen_genes=frame["perturbation"].isin(["A", "B"]).astype(int),
    )
    combinations = rank_combinations(pairs)
    table = build_leaderboard_tables(summary, combinations)[-1]
    assert table.stem == "table_leaderboard_unseen_genes"
    assert [*table.cells] == ["Reads", "System", "all (n=6)", "0 unseen (n=4)", "1 unseen (n=2)"]
    row = table.cells.set_index("System").loc["kernel ridge"]
    assert row["all (n=6)"].endswith("rank 1 [1, 1]")
    is_own = (pairs["variant"] == "kernel_ridge:tuned") & (pairs["metric"] == "pearson_delta")
    of_two = pairs[is_own & (pairs["n_unseen_genes"] == 1)]["value"].mean()
    assert row["1 unseen (n=2)"].startswith(f"{of_two:.3f} [")
    assert "default" not in set(combinations["form"])
