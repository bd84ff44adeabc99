from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.dataset import with_second_embeddings, write_prepared

from adapert.data.prepared import PreparedDataset, read_prepared
from analysis.tables import build_data_tables
from analysis.tables.prepared import build_embedding_table, summarize_network


def test_tables_4_to_7_are_built_without_the_test_split(
    tiny_dataset: PreparedDataset, tmp_path: Path
) -> None:
    write_prepared(tiny_dataset, tmp_path / "prepared")
    splits, groups, network, embeddings = build_data_tables(read_prepared(tmp_path / "prepared"))
    assert [table.stem for table in (splits, groups, network, embeddings)] == [
        "table_4_data",
        "table_5_effect_sizes",
        "table_6_network",
        "table_7_embeddings",
    ]
    n_cells = [int(tiny_dataset.splits[name].table.n_cells.sum()) for name in ("train", "validation", "test")]
    assert splits.cells["Split"].tolist() == ["train", "validation", "test", "control"]
    assert splits.frame["n_cells"].tolist() == [*n_cells, 20]
    assert splits.cells["Perturbations"].tolist() == ["8", "4", "3", "-"]
    assert splits.cells["Families"].tolist() == ["8", "4", "3", "-"]
    assert splits.cells["Largest family"].tolist() == ["1", "1", "1", "-"]
    assert groups.frame.groupby("split")["n_perturbations"].sum().to_dict() == {
        "test": 3,
        "train": 8,
        "validation": 4,
    }


def test_responses_have_no_numbers_of_cells(tiny_dataset: PreparedDataset) -> None:
    responses = replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))
    splits, groups, *_ = build_data_tables(responses)
    assert set(splits.cells["Cells"]) == set(groups.cells["Cells"]) == {"-"}
    assert "says no numbers of cells" in splits.caption


def test_degrees_are_those_of_a_plain_count(tiny_dataset: PreparedDataset) -> None:
    shared = tiny_dataset.shared
    summary = summarize_network(tiny_dataset).set_index("graph")
    for graph, top_k in (("genes of the data", 10**9), ("genes of the data, top-10", 10)):
        degree = dict.fromkeys(range(15), 0)
        for source, target, rank in zip(
            shared.edge_source, shared.edge_target, shared.edge_rank, strict=True
        ):
            if rank < top_k:
                degree[int(source)] += 1
                degree[int(target)] += 1
        present = [count for count in degree.values() if count]
        row = summary.loc[graph]
        assert (row["n_nodes"], row["n_isolated"]) == (len(present), 15 - len(present))
        assert row["n_edges"] == sum(present) / 2
        assert row["mean_degree"] == pytest.approx(np.mean(present))
        assert row["median_degree"] == np.median(present)


def test_embeddings_are_counted_by_the_genes_that_they_cover(tiny_dataset: PreparedDataset) -> None:
    counts = {"embedded:text": 1234}
    dataset = with_second_embeddings(tiny_dataset)
    dataset = replace(dataset, manifest=replace(dataset.manifest, counts=counts))
    table = build_embedding_table(dataset)
    assert table.cells["Source"].tolist() == ["text", "rpe1"]
    assert table.cells["Total genes"].tolist() == ["1,234", "-"]
    assert table.cells["Dimension"].tolist() == ["6", "4"]
    # Of twelve measured genes the text lacks G03, and rpe1 has every other one.
    assert table.cells["Measured genes covered"].tolist() == ["11 / 12 (91.7%)", "6 / 12 (50.0%)"]
    perturbed = np.flatnonzero(tiny_dataset.shared.is_perturbed)
    n = sum(node not in (3, 14) for node in perturbed.tolist())
    assert table.cells["Perturbed genes covered"][0].startswith(f"{n} / {len(perturbed)} ")
