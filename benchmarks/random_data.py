"""Data of the size of K562's responses, drawn in a second: they time a step, and have nothing to learn."""

from itertools import pairwise

import numpy as np

from adapert.data.array_tables import CellTable, PerturbationTable, SharedTable
from adapert.data.manifest import Manifest
from adapert.data.prepared import PreparedDataset, PreparedSplit
from adapert.data.schema import IntArray, StringArray

N_PROGRAMS = 20
"""Directions that responses are made of."""


def draw_dataset(n_nodes: int = 2_000, n_training: int = 351, n_validation: int = 100) -> PreparedDataset:
    """Draw responses of a table without cells, a network of 20 edges into each gene, and text of 64 numbers.

    All genes are measured, and the first ones are perturbed.
    """
    generator = np.random.default_rng(0)
    names = np.array([f"G{gene:05d}" for gene in range(n_nodes)])
    n_edges = min(20, n_nodes - 1)
    target = np.repeat(np.arange(n_nodes), n_edges)
    steps = np.stack([generator.permutation(n_nodes - 1)[:n_edges] + 1 for _ in range(n_nodes)])
    text = generator.normal(size=(n_nodes, 64)).astype(np.float32)
    shared = SharedTable(
        node_names=names,
        n_genes=np.array(n_nodes),
        control_mean=np.zeros(n_nodes, dtype=np.float32),
        batches=np.array(["all"]),
        batch_control_mean=np.zeros((1, n_nodes), dtype=np.float32),
        edge_source=(target + steps.ravel()) % n_nodes,
        edge_target=target,
        edge_score=np.tile(1000.0 - np.arange(n_edges), n_nodes).astype(np.float32),
        edge_rank=np.tile(np.arange(n_edges), n_nodes),
        text_embedding=text / np.linalg.norm(text, axis=1, keepdims=True),
        has_text=np.ones(n_nodes, dtype=bool),
        is_perturbed=np.arange(n_nodes) < n_training + n_validation,
    )
    ends = (0, n_training, n_training + n_validation)
    parts = [_split(generator, names[first:last], n_nodes) for first, last in pairwise(ends)]
    return PreparedDataset(
        manifest=Manifest(kind="responses", fingerprint="random", split_seed=0),
        shared=shared,
        control_cells=CellTable.empty(),
        splits={"train": parts[0], "validation": parts[1]},
    )


def _split(generator: np.random.Generator, names: StringArray, n_genes: int) -> PreparedSplit:
    programs = generator.normal(size=(N_PROGRAMS, n_genes))
    delta = 0.1 * generator.normal(size=(len(names), N_PROGRAMS)) @ programs
    rows: IntArray = np.arange(len(names))
    n_cells = generator.integers(50, 500, size=len(names))
    table = PerturbationTable(
        perturbations=names,
        delta=delta.astype(np.float32),
        deg_mask=np.abs(delta) > 0.6,
        n_cells=n_cells,
        family=names,
        effect_size=np.full(len(names), "medium"),
        group_perturbation_index=rows,
        group_batch_index=np.zeros_like(rows),
        group_mean=delta.astype(np.float32),
        group_n_cells=n_cells,
    )
    return PreparedSplit(table=table, cells=CellTable.empty())
