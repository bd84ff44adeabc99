"""Tables 4 to 7: what a prepared data set holds (App. A)."""

import numpy as np
import pandas as pd

from adapert.data.manifest import EMBEDDED_IN
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import EFFECT_SIZES, SPLITS
from adapert.data.units import describe_degs
from analysis.dataset import GROUP_RULES, count_families, count_perturbations, name_dataset
from analysis.figures.graph_coverage import GRAPHS
from analysis.tables.table import PaperTable, whole

_NO_CELLS = " The data are a table of responses that says no numbers of cells."


def build_data_tables(dataset: PreparedDataset) -> list[PaperTable]:
    """Build Tables 4 to 7 of a data set with any of its splits; no other's expression is opened."""
    return [
        build_split_table(dataset),
        build_group_table(dataset),
        build_network_table(dataset),
        build_embedding_table(dataset),
    ]


def build_split_table(dataset: PreparedDataset) -> PaperTable:
    """Build Table 4: cells, perturbations and genes of each split."""
    counts = count_perturbations(dataset)
    by_split = counts.groupby("split", sort=False)[["n_cells", "n_perturbations"]].sum().reindex(list(SPLITS))
    frame = by_split.rename_axis("split").reset_index().assign(n_genes=dataset.n_genes)
    frame = frame.merge(count_families(dataset), on="split", how="left")
    controls = {"split": "control", "n_cells": len(dataset.control_cells), "n_genes": dataset.n_genes}
    frame = pd.concat([frame, pd.DataFrame([controls])], ignore_index=True)
    if not _has_cell_counts(dataset):
        frame["n_cells"] = np.nan
    frame.insert(0, "dataset", name_dataset(dataset))
    heads = {"n_cells": "Cells", "n_perturbations": "Perturbations", "n_genes": "Genes"}
    heads |= {"n_families": "Families", "largest_family": "Largest family"}
    return PaperTable(
        stem="table_4_data",
        title=f"Data set {name_dataset(dataset)}",
        caption="Splits share no perturbation, but the control cells. Genes: measured and kept. Families: of "
        f"perturbations that respond alike, by {dataset.manifest.families}."
        + ("" if _has_cell_counts(dataset) else _NO_CELLS),
        frame=frame,
        cells=_cells(frame, {"split": "Split"}, heads),
    )


def build_group_table(dataset: PreparedDataset) -> PaperTable:
    """Build Table 5: perturbations and cells of each split by effect size."""
    every = pd.MultiIndex.from_product([SPLITS, EFFECT_SIZES], names=["split", "effect_size"])
    counts = count_perturbations(dataset).set_index(["split", "effect_size"])
    known = set(counts.index.get_level_values("split"))
    frame = counts.reindex(every[every.get_level_values("split").isin(list(known))]).fillna(0).reset_index()
    if not _has_cell_counts(dataset):
        frame["n_cells"] = np.nan
    frame.insert(0, "dataset", name_dataset(dataset))
    rule = GROUP_RULES[dataset.manifest.choices.effect_size_groups]
    return PaperTable(
        stem="table_5_effect_sizes",
        title=f"Perturbations by effect size, {name_dataset(dataset)}",
        caption=f"{rule} DEGs: {describe_degs(dataset.manifest)}.".lstrip()
        + ("" if _has_cell_counts(dataset) else _NO_CELLS),
        frame=frame,
        cells=_cells(
            frame,
            {"split": "Split", "effect_size": "Effect size"},
            {"n_perturbations": "Perturbations", "n_cells": "Cells"},
        ),
        n_names=2,
    )


def summarize_network(dataset: PreparedDataset) -> pd.DataFrame:
    """Count nodes and edges of the network of the data's genes, and of its top-k graphs.

    Returns:
        dataset, graph, n_nodes (with an edge), n_isolated (genes of the data without one), n_edges (each
        direction counts), mean_degree and median_degree (edges into and out of a node with an edge).
    """
    shared, name = dataset.shared, "genes of the data"
    rows = []
    for graph, top_k in [(name, np.inf), *((f"{name}, top-{k}", k) for k in sorted(GRAPHS, reverse=True))]:
        is_kept = np.asarray(shared.edge_rank) < top_k
        ends = [np.asarray(nodes)[is_kept] for nodes in (shared.edge_source, shared.edge_target)]
        degree = np.bincount(np.concatenate(ends))
        degree = degree[degree > 0]
        rows.append(
            {
                "graph": graph,
                "n_nodes": len(degree),
                "n_isolated": dataset.n_nodes - len(degree),
                "n_edges": int(is_kept.sum()),
                "mean_degree": float(degree.mean()) if len(degree) else np.nan,
                "median_degree": float(np.median(degree)) if len(degree) else np.nan,
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(0, "dataset", name_dataset(dataset))
    return frame


def build_network_table(dataset: PreparedDataset) -> PaperTable:
    """Build Table 6: the network as the model sees it."""
    frame = summarize_network(dataset)
    text = {
        column: frame[column].map(lambda value: f"{value:,.1f}")
        for column in ("mean_degree", "median_degree")
    }
    cells = _cells(
        frame,
        {"graph": "Graph"},
        {"n_nodes": "Nodes", "n_edges": "Edges", "n_isolated": "Genes without an edge"},
    ).assign(**{"Mean degree": text["mean_degree"], "Median degree": text["median_degree"]})
    return PaperTable(
        stem="table_6_network",
        title=f"Network of {name_dataset(dataset)}",
        caption=(
            "Nodes are genes with an edge. As in the paper, both directions of a pair count as edges, and "
            "the degree of a node is of edges into and out of it: twice its number of neighbours where "
            "nothing is cut. Top-k keeps the k edges of highest confidence into each gene. "
            "The prepared data set does not hold the whole network."
        ),
        frame=frame,
        cells=cells,
    )


def summarize_embeddings(dataset: PreparedDataset) -> pd.DataFrame:
    """Count what each source of gene embeddings holds, and which genes of the data it covers.

    Returns:
        dataset, source, n_total (genes in its file, NaN where the data set does not say), size (numbers of a
        vector), n_covered of n_genes (measured) and n_perturbed_covered of n_perturbed (perturbed genes).
    """
    shared = dataset.shared
    is_perturbed = np.asarray(shared.is_perturbed)
    rows = []
    for source in shared.embedding_names.tolist():
        vectors = shared.vectors_of(source)
        has_embedding = np.asarray(vectors.has_embedding)
        rows.append(
            {
                "dataset": name_dataset(dataset),
                "source": source,
                "n_total": dataset.manifest.counts.get(f"{EMBEDDED_IN}{source}", np.nan),
                "size": vectors.embedding.shape[1],
                "n_covered": int(has_embedding[: dataset.n_genes].sum()),
                "n_genes": dataset.n_genes,
                "n_perturbed_covered": int((has_embedding & is_perturbed).sum()),
                "n_perturbed": int(is_perturbed.sum()),
            }
        )
    return pd.DataFrame(rows)


def build_embedding_table(dataset: PreparedDataset) -> PaperTable:
    """Build Table 7: the sources of gene embeddings, and how much of the data's genes they cover."""
    frame = summarize_embeddings(dataset)
    cells = _cells(frame, {"source": "Source"}, {"n_total": "Total genes", "size": "Dimension"})
    for head, part, all_of in (
        ("Measured genes covered", "n_covered", "n_genes"),
        ("Perturbed genes covered", "n_perturbed_covered", "n_perturbed"),
    ):
        pairs = zip(frame[part], frame[all_of], strict=True)
        cells[head] = [f"{n:,} / {total:,} ({n / max(total, 1):.1%})" for n, total in pairs]
    return PaperTable(
        stem="table_7_embeddings",
        title=f"Gene embeddings of {name_dataset(dataset)}",
        caption=(
            "Total genes: symbols in the source's file. Measured genes are those kept; aliases are followed. "
            "A response table of another screen is reduced to its leading principal components."
        ),
        frame=frame,
        cells=cells,
    )


def _cells(frame: pd.DataFrame, names: dict[str, str], counts: dict[str, str]) -> pd.DataFrame:
    text = {head: frame[column].astype(str) for column, head in names.items()}
    return pd.DataFrame(
        text | {head: frame[column].astype(float).map(whole) for column, head in counts.items()}
    )


def _has_cell_counts(dataset: PreparedDataset) -> bool:
    return dataset.manifest.kind == "cells" or dataset.manifest.choices.n_cells_column is not None
