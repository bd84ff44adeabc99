"""A simulated Perturb-seq experiment with known effects, to try and to test everything with.

Genes lie in pathways. Knocking a gene down moves its own pathway and the pathways below it; how far
depends on the pathway, so that small, medium and large effects occur. Network and text know the
pathways, noisily: an effect that was never seen can be told from the effects of neighbours.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.schema import CONTROL, GENE_SEPARATOR, FloatArray, IntArray, StringArray
from adapert.errors import InputError
from adapert.files import whole_directory
from adapert.seeding import numpy_generator

CELLS_FILE = "cells.h5ad"
NETWORK_FILE = "network.tsv.gz"
TEXT_FILE = "text.npz"
TRUTH_FILE = "truth.npz"

PATHWAY_SIZE = 25
COMBINATION_FRACTION = 0.1
TEXT_SIZE = 32
COMMON_GENES = 8
"""Genes that respond to every perturbation, as stress genes do: the training mean is not zero."""

MEAN_COUNTS = 4_000
DISPERSION = 0.1
"""Of the negative binomial: variance = mean + dispersion * mean^2."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true in a simulated experiment.

    Attributes:
        gene_names: (n_genes,).
        pathway: Pathway of each gene, (n_genes,).
        downstream: Signed strength with which a pathway moves another, (n_pathways, n_pathways).
        gene_effect: Effect of knocking each gene down, log units, (n_genes, n_genes).
        common_effect: Effect of any perturbation, log units, (n_genes,).
        baseline: Expected share of a control cell's counts, (n_genes,).
    """

    gene_names: StringArray
    pathway: IntArray
    downstream: FloatArray
    gene_effect: FloatArray
    common_effect: FloatArray
    baseline: FloatArray

    def effect(self, perturbation_genes: list[int]) -> FloatArray:
        """Sum the effects of a perturbation's genes, log units, (n_genes,)."""
        total: FloatArray = self.gene_effect[perturbation_genes].sum(axis=0) + self.common_effect
        return total


def simulate(
    out: Path,
    *,
    n_perturbations: int = 120,
    n_genes: int = 500,
    cells_per_perturbation: int = 60,
    n_controls: int = 600,
    n_batches: int = 3,
    seed: int = 0,
) -> None:
    """Write a simulated experiment: cells, network, text embeddings and the truth behind them.

    Args:
        out: New directory; gets ``cells.h5ad`` (integer counts, obs ``perturbation`` and ``batch``),
            ``network.tsv.gz``, ``text.npz`` and ``truth.npz`` (``perturbations``, ``gene_names``,
            ``effect`` in log units).
        n_perturbations: A tenth of them are combinations of two genes that are perturbed alone too.
        n_genes: Genes measured, a pathway for every 25.
        cells_per_perturbation: Cells of each perturbation.
        n_controls: Unperturbed cells.
        n_batches: Sequencing batches, each with its own shift of every gene.
        seed: Of everything that is drawn.

    Raises:
        InputError: `out` exists, or numbers that do not fit together.
    """
    _check_sizes(n_perturbations, n_genes, cells_per_perturbation, n_controls, n_batches)
    truth = _draw_truth(n_genes, numpy_generator(seed, "simulated effects"))
    targets = _draw_targets(truth, n_perturbations, numpy_generator(seed, "simulated targets"))
    names = [GENE_SEPARATOR.join(truth.gene_names[genes]) for genes in targets]
    effects = np.stack([truth.effect(genes) for genes in targets])
    row_effect = np.repeat(
        np.arange(n_perturbations + 1), [cells_per_perturbation] * n_perturbations + [n_controls]
    )
    with whole_directory(out) as beside:
        generator = numpy_generator(seed, "simulated cells")
        _write_cells(beside / CELLS_FILE, truth, [*names, CONTROL], effects, row_effect, n_batches, generator)
        _write_network(beside / NETWORK_FILE, truth, numpy_generator(seed, "simulated network"))
        _write_text(beside / TEXT_FILE, truth, numpy_generator(seed, "simulated text"))
        np.savez(beside / TRUTH_FILE, perturbations=names, gene_names=truth.gene_names, effect=effects)


def _check_sizes(
    n_perturbations: int, n_genes: int, cells_per_perturbation: int, n_controls: int, n_batches: int
) -> None:
    smallest = min(cells_per_perturbation, n_controls, n_batches)
    if smallest < 1:
        raise InputError(
            f"A simulated experiment must have cells, controls and batches, but one is {smallest}."
        )
    n_single = n_perturbations - round(COMBINATION_FRACTION * n_perturbations)
    if not 2 <= n_single <= n_genes:
        raise InputError(
            "A simulated experiment must perturb at least 2 genes and no more than it measures, but it is "
            f"to perturb {n_single} of {n_genes}. Change n_perturbations or n_genes."
        )


def _draw_truth(n_genes: int, generator: np.random.Generator) -> Truth:
    n_pathways = max(2, n_genes // PATHWAY_SIZE)
    pathway = np.sort(np.arange(n_genes) % n_pathways)
    downstream = _draw_downstream(n_pathways, generator)
    # How each gene answers when its pathway is moved; its sign belongs to the gene.
    answer = generator.choice([-1.0, 1.0], n_genes) * generator.uniform(0.4, 1.0, n_genes)
    strength = generator.uniform(0.75, 1.25, n_genes)
    gene_effect = strength[:, None] * downstream[pathway][:, pathway] * answer
    gene_effect += _draw_specific(n_genes, generator)
    np.fill_diagonal(gene_effect, -2.0)  # the knock-down itself
    common_effect = np.zeros(n_genes)
    common_effect[generator.choice(n_genes, COMMON_GENES, replace=False)] = generator.normal(
        0, 0.6, COMMON_GENES
    )
    baseline = generator.lognormal(0, 0.8, n_genes)
    return Truth(
        gene_names=np.array([f"GENE{number + 1:04d}" for number in range(n_genes)]),
        pathway=pathway,
        downstream=downstream,
        gene_effect=gene_effect,
        common_effect=common_effect,
        baseline=baseline / baseline.sum(),
    )


def _draw_downstream(n_pathways: int, generator: np.random.Generator) -> FloatArray:
    """Let pathways in turn move themselves a little, themselves, and others too: three sizes of effect."""
    downstream = np.zeros((n_pathways, n_pathways))
    for upper in range(n_pathways):
        n_below = (0, 0, 3)[upper % 3]
        own = (0.25, 0.9, 1.1)[upper % 3]
        downstream[upper, upper] = own * generator.choice([-1.0, 1.0])
        others = np.delete(np.arange(n_pathways), upper)
        below = generator.choice(others, min(n_below, len(others)), replace=False)
        downstream[upper, below] = generator.choice([-1.0, 1.0], len(below)) * generator.uniform(
            0.5, 1.0, len(below)
        )
    return downstream


def _draw_specific(n_genes: int, generator: np.random.Generator) -> FloatArray:
    """Draw effects that only one gene has, on a hundredth of the genes, which nothing predicts."""
    is_hit = generator.random((n_genes, n_genes)) < 0.01
    specific: FloatArray = np.where(is_hit, generator.normal(0, 0.6, (n_genes, n_genes)), 0.0)
    return specific


def _draw_targets(truth: Truth, n_perturbations: int, generator: np.random.Generator) -> list[list[int]]:
    """Choose perturbed genes, then pairs of them."""
    n_combinations = round(COMBINATION_FRACTION * n_perturbations)
    n_genes = len(truth.gene_names)
    single = np.sort(generator.choice(n_genes, n_perturbations - n_combinations, replace=False))
    pairs: set[tuple[int, int]] = set()
    n_possible = len(single) * (len(single) - 1) // 2
    while len(pairs) < min(n_combinations, n_possible):
        first, second = sorted(generator.choice(single, 2, replace=False).tolist())
        pairs.add((first, second))
    return [[gene] for gene in single.tolist()] + [list(pair) for pair in sorted(pairs)]


def _write_cells(
    path: Path,
    truth: Truth,
    names: list[str],
    effects: FloatArray,
    row_effect: IntArray,
    n_batches: int,
    generator: np.random.Generator,
) -> None:
    """Draw counts and write them; the last name is the control's, without an effect."""
    import anndata
    import h5py
    from anndata.io import write_elem

    n_genes = len(truth.gene_names)
    batch = generator.integers(n_batches, size=len(row_effect))
    batch_effect = generator.normal(0, 0.2, (n_batches, n_genes))
    library_size = generator.lognormal(np.log(MEAN_COUNTS), 0.25, len(row_effect))
    all_effects = np.vstack([effects, np.zeros(n_genes)])
    share = truth.baseline * np.exp(all_effects[row_effect] + batch_effect[batch])
    mean = share / share.sum(axis=1, keepdims=True) * library_size[:, None]
    counts = generator.poisson(generator.gamma(1 / DISPERSION, DISPERSION * mean))
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(np.array(names)[row_effect]),
            "batch": pd.Categorical([f"batch{number + 1}" for number in batch]),
        },
        index=[f"CELL{number + 1:06d}" for number in range(len(row_effect))],
    )
    var = pd.DataFrame(index=pd.Index(truth.gene_names, name="gene_symbol"))
    cells = anndata.AnnData(scipy.sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)
    # Through memory: on a full disk HDF5 cannot close its file, and the process crashes later.
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        write_elem(file, "/", cells, dataset_kwargs={"compression": "gzip"})
    path.write_bytes(image.getbuffer())


def _write_network(path: Path, truth: Truth, generator: np.random.Generator) -> None:
    """Write edges within pathways, fewer down from pathway to pathway, and some that mean nothing."""
    first, second = np.triu_indices(len(truth.gene_names), k=1)
    one, other = truth.pathway[first], truth.pathway[second]
    is_downstream = (truth.downstream[one, other] != 0) | (truth.downstream[other, one] != 0)
    chance = np.where(one == other, 0.35, np.where(is_downstream, 0.02, 0.005))
    lowest = np.where(one == other, 600, np.where(is_downstream, 400, 200))
    score = lowest + generator.integers(0, 300, len(first))
    is_edge = generator.random(len(first)) < chance
    pd.DataFrame(
        {
            "gene_a": truth.gene_names[first[is_edge]],
            "gene_b": truth.gene_names[second[is_edge]],
            "score": score[is_edge],
        }
    ).to_csv(path, sep="\t", index=False, compression={"method": "gzip", "mtime": 0})


def _write_text(path: Path, truth: Truth, generator: np.random.Generator) -> None:
    """Write a vector for each gene: its pathway's, with noise of its own."""
    centres = generator.normal(size=(len(truth.downstream), TEXT_SIZE))
    noise = generator.normal(0, 0.7, (len(truth.gene_names), TEXT_SIZE))
    embedding = (centres[truth.pathway] + noise).astype(np.float32)
    np.savez(path, symbols=truth.gene_names, embedding=embedding)
