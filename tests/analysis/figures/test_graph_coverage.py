from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from fixtures.narrowed import row_of
from fixtures.predictions import predict_test_split

from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from analysis.figures.graph_coverage import hop_distances, plot_graph_coverage, summarize_graph_coverage


def _hops_by_plain_search(shared: SharedTable, top_k: int, start: list[int]) -> list[float]:
    """Breadth-first search, edge by edge."""
    neighbours: dict[int, set[int]] = {}
    for source, target, rank in zip(shared.edge_source, shared.edge_target, shared.edge_rank, strict=True):
        if rank < top_k:
            neighbours.setdefault(int(source), set()).add(int(target))
            neighbours.setdefault(int(target), set()).add(int(source))
    hops, queue = dict.fromkeys(start, 0), deque(start)
    while queue:
        node = queue.popleft()
        for other in neighbours.get(node, ()):
            if other not in hops:
                hops[other] = hops[node] + 1
                queue.append(other)
    return [hops[node] if hops.get(node, 9) <= 3 else np.inf for node in range(len(shared.node_names))]


@pytest.mark.parametrize("top_k", [1, 2, 10])
def test_hops_are_those_of_a_plain_search(tiny_dataset: PreparedDataset, top_k: int) -> None:
    targets = [[0], [3, 5], [14], [7]]
    distance = hop_distances(tiny_dataset.shared, top_k, targets)
    expected = [_hops_by_plain_search(tiny_dataset.shared, top_k, nodes) for nodes in targets]
    np.testing.assert_array_equal(distance, expected)


def test_coverage_is_the_share_of_degs_within_reach(tiny_dataset: PreparedDataset) -> None:
    one = replace(tiny_dataset, splits={"train": tiny_dataset.splits["train"]})
    summary = summarize_graph_coverage(one, graphs=(2,)).set_index(["gene_set", "n_hops"])
    table = one.splits["train"].table
    shares = []
    for name, degs in zip(table.perturbations.tolist(), table.deg_mask, strict=True):
        targets = one.perturbed_nodes(name)
        hops = np.array(_hops_by_plain_search(one.shared, 2, targets))
        members = degs & (hops[:12] > 0)
        if (hops == 1).any() and members.any():
            shares.append((hops[:12][members] <= 2).mean())
    row = row_of(summary, "DEGs", 2)
    assert row["mean"] == pytest.approx(np.mean(shares))
    assert row["n_perturbations"] == len(shares)
    assert row["low"] <= row["mean"] <= row["high"]


def test_every_set_is_averaged_over_the_same_perturbations(tiny_dataset: PreparedDataset) -> None:
    tiny_dataset.splits["train"].table.deg_mask[:3] = False
    summary = summarize_graph_coverage(tiny_dataset)
    assert summary.groupby("graph_top_k")["n_perturbations"].nunique().tolist() == [1, 1]
    assert set(summary["depth"]) == {0}
    counted = summary["n_perturbations"] + summary["n_isolated"] + summary["n_without_degs"]
    assert set(counted) == {15}
    assert (summary["n_isolated"] >= 1).all()  # the last node has no edge


def test_an_evaluation_brings_its_perturbations_and_its_top_genes(tiny_dataset: PreparedDataset) -> None:
    closed = replace(tiny_dataset, splits={"train": tiny_dataset.splits["train"]})
    summary = summarize_graph_coverage(closed, predict_test_split(tiny_dataset), "adapert")
    for depth in (10, 20):
        sets = summary.loc[summary["depth"] == depth, "gene_set"].unique().tolist()
        assert sets == ["DEGs", f"top {depth} of AdaPert", "DEGs among these", "all genes"]
    assert summary["n_perturbations"].max() <= 3
    figure = plot_graph_coverage(summary)
    assert [axes.get_title(loc="left").split(" edges")[0] for axes in figure.axes] == [
        "top 10 predicted, top-10",
        "top 20 predicted, top-10",
        "top 10 predicted, top-20",
        "top 20 predicted, top-20",
    ]


def test_a_depth_follows_the_genes_of_largest_predicted_change(tiny_dataset: PreparedDataset) -> None:
    predictions = predict_test_split(tiny_dataset)
    summary = summarize_graph_coverage(tiny_dataset, predictions, "adapert", graphs=(2,))
    shares: dict[str, list[float]] = {"top 10 of AdaPert": [], "DEGs among these": []}
    for name, delta, degs in zip(
        predictions.perturbations.tolist(),
        predictions.prediction_of("adapert"),
        predictions.deg_mask,
        strict=True,
    ):
        hops = np.array(_hops_by_plain_search(tiny_dataset.shared, 2, tiny_dataset.perturbed_nodes(name)))
        if not (hops == 1).any() or not (degs & (hops[:12] > 0)).any():
            continue
        strongest = sorted(range(12), key=lambda gene: -abs(delta[gene]))[:10]
        top = [gene for gene in strongest if hops[gene] > 0]
        hits = [gene for gene in top if degs[gene]]
        shares["top 10 of AdaPert"].append(float((hops[top] <= 1).mean()))
        if hits:
            shares["DEGs among these"].append(float((hops[hits] <= 1).mean()))
    at_10 = summary[(summary["depth"] == 10) & (summary["n_hops"] == 1)].set_index("gene_set")["mean"]
    for gene_set, values in shares.items():
        assert at_10[gene_set] == pytest.approx(np.mean(values))


def test_predictions_of_other_genes_or_perturbations_are_refused(tiny_dataset: PreparedDataset) -> None:
    of_other_genes = replace(predict_test_split(tiny_dataset), gene_names=tiny_dataset.gene_names[::-1])
    with pytest.raises(InputError, match="must be of the data set's 12 genes"):
        summarize_graph_coverage(tiny_dataset, of_other_genes)
    no_node = replace(predict_test_split(tiny_dataset), perturbations=np.array(["G00", "X1", "G02"]))
    with pytest.raises(InputError, match="must be a node of the prepared graph, but 'X1' is not"):
        summarize_graph_coverage(tiny_dataset, no_node)


def test_axes_carry_graphs_and_sets(tiny_dataset: PreparedDataset) -> None:
    figure = plot_graph_coverage(summarize_graph_coverage(tiny_dataset))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split(" (")[0] for title in titles] == [
        "top-10 edges of each gene",
        "top-20 edges of each gene",
    ]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["DEGs", "all genes (chance)"]


def test_data_without_a_deg_are_refused(tiny_dataset: PreparedDataset) -> None:
    for split in tiny_dataset.splits.values():
        split.table.deg_mask[:] = False
    summary = summarize_graph_coverage(tiny_dataset)
    assert summary["mean"].isna().all()
    with pytest.raises(InputError, match="has an edge in the network, but there is none"):
        plot_graph_coverage(summary)
