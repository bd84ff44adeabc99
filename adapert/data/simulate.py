"""A simulated Perturb-seq experiment with known effects, to try and to test everything with.

Genes belong to pathways. Knocking a gene down moves its own pathway and the pathways below it; how far
depends on the pathway, so that small, medium and large effects occur. Network and text know the
pathways, noisily: an unseen effect can be predicted from the effects of neighbours.

The effects of a combination's genes add up, but for an interaction: each of some modules of pathways moves
up or down by the product of the signs that the pathways of the two genes have for it.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.row_chunks import VALUES_AT_ONCE
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
N_MODULES = 3
MODULE_PATHWAYS = 3
"""Modules that interactions move, and pathways of each."""

COMMON_GENES = 8
"""Genes that respond to every perturbation, as stress genes do: the training mean is not zero."""

MOST_INTERACTION = 5
"""Log units; a larger one would leave nothing to see of other effects."""

MEAN_COUNTS = 4_000
DISPERSION = 0.1
"""Dispersion of the negative binomial: variance = mean + dispersion * mean^2."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true effects of a simulated experiment.

    Attributes:
        gene_names: (n_genes,).
        pathway: Pathway of each gene, (n_genes,).
        downstream: Signed strength with which a pathway moves another, (n_pathways, n_pathways).
        perturbed: Genes that are knocked down, ascending, (n_perturbed,).
        gene_effect: Effect of knocking each of them down, log units, (n_perturbed, n_genes).
        common_effect: Effect of any perturbation, log units, (n_genes,).
        module_sign: Sign that each pathway has for a module, (n_pathways, n_modules).
        module_effect: What a module does, log units at an interaction of 1, (n_modules, n_genes).
        baseline: Expected share of a control cell's counts, (n_genes,).
    """

    gene_names: StringArray
    pathway: IntArray
    downstream: FloatArray
    perturbed: IntArray
    gene_effect: FloatArray
    common_effect: FloatArray
    module_sign: FloatArray
    module_effect: FloatArray
    baseline: FloatArray

    def effect(self, perturbation_genes: list[int], interaction: float | None = None) -> FloatArray:
        """Sum the effects of a perturbation's genes and, in a combination, of modules: log units, (n_genes,).

        `interaction` scales what modules do. Without one they do nothing, and what every perturbation does
        comes once, not with each gene.
        """
        rows = np.searchsorted(self.perturbed, perturbation_genes)
        total: FloatArray = self.gene_effect[rows].sum(axis=0) + self.common_effect
        if interaction is None or len(perturbation_genes) == 1:
            return total
        sign = self.module_sign[self.pathway[perturbation_genes]].prod(axis=0)
        repeated = (len(perturbation_genes) - 1) * self.common_effect
        beyond: FloatArray = repeated + interaction * (sign @ self.module_effect)
        return total + beyond


def simulate(
    out: Path,
    *,
    n_perturbations: int = 120,
    n_combinations: int | None = None,
    interaction: float | None = None,
    n_genes: int = 500,
    cells_per_perturbation: int = 60,
    n_controls: int = 600,
    n_batches: int = 3,
    n_pathways: int | None = None,
    is_shuffled: bool = False,
    seed: int = 0,
) -> None:
    """Write a simulated experiment: cells, network, text embeddings and the truth behind them.

    Memory grows with genes and perturbations, not with cells.

    Args:
        out: New directory; gets ``cells.h5ad`` (integer counts, obs ``perturbation`` and ``batch``),
            ``network.tsv.gz``, ``text.npz`` and ``truth.npz`` (``perturbations``, ``gene_names``, ``effect``
            and ``interaction``, what of it is beyond the sum of single effects, both in log units).
        n_perturbations: Single genes and combinations.
        n_combinations: Combinations among them, of two genes that are perturbed alone too; ``None`` for a
            tenth.
        interaction: Log units by which modules of pathways move in a combination beyond the sum of its single
            effects; at 0 effects add up. ``None``: they add up but for what every perturbation does, which
            comes once.
        n_genes: Genes measured.
        cells_per_perturbation: Cells of each perturbation.
        n_controls: Unperturbed cells.
        n_batches: Sequencing batches, each with its own shift of every gene.
        n_pathways: Pathways; ``None`` for one for every 25 genes.
        is_shuffled: Whether a perturbation's cells are scattered over the file, as in a real one.
        seed: Seed of everything that is drawn.

    Raises:
        InputError: `out` exists, or numbers that do not fit together.
    """
    n_pathways = max(2, n_genes // PATHWAY_SIZE) if n_pathways is None else n_pathways
    if n_combinations is None:
        n_combinations = round(COMBINATION_FRACTION * n_perturbations)
    n_single = n_perturbations - n_combinations
    _check_combinations(n_perturbations, n_combinations, interaction)
    _check_sizes(n_single, n_genes, n_pathways, min(cells_per_perturbation, n_controls, n_batches))
    targets = _draw_targets(n_genes, n_single, n_combinations, numpy_generator(seed, "simulated targets"))
    perturbed = np.unique(np.concatenate(targets))
    truth = _draw_truth(n_genes, n_pathways, perturbed, seed)
    names = [GENE_SEPARATOR.join(truth.gene_names[genes]) for genes in targets]
    effects = np.stack([truth.effect(genes, interaction) for genes in targets])
    sums = np.stack([np.sum([truth.effect([gene]) for gene in genes], axis=0) for genes in targets])
    row_effect = np.repeat(
        np.arange(n_perturbations + 1), [cells_per_perturbation] * n_perturbations + [n_controls]
    )
    if is_shuffled:
        row_effect = numpy_generator(seed, "simulated order").permutation(row_effect)
    with whole_directory(out) as beside:
        generator = numpy_generator(seed, "simulated cells")
        _write_cells(beside / CELLS_FILE, truth, [*names, CONTROL], effects, row_effect, n_batches, generator)
        _write_network(beside / NETWORK_FILE, truth, numpy_generator(seed, "simulated network"))
        _write_text(beside / TEXT_FILE, truth, numpy_generator(seed, "simulated text"))
        np.savez(
            beside / TRUTH_FILE,
            perturbations=names,
            gene_names=truth.gene_names,
            effect=effects,
            interaction=effects - sums,
        )


def _check_sizes(n_single: int, n_genes: int, n_pathways: int, smallest: int) -> None:
    if smallest < 1:
        raise InputError(
            f"A simulated experiment must have cells, controls and batches, but one is {smallest}."
        )
    if n_genes < COMMON_GENES:
        raise InputError(
            f"A simulated experiment must measure at least {COMMON_GENES} genes, but it is to measure "
            f"{n_genes}. Change n_genes."
        )
    if not 2 <= n_single <= n_genes:
        raise InputError(
            "A simulated experiment must perturb at least 2 genes and no more than it measures, but it is "
            f"to perturb {n_single} of {n_genes}. Change n_perturbations or n_genes."
        )
    if not 2 <= n_pathways <= n_genes:
        raise InputError(
            "A simulated experiment must have at least 2 pathways and no more than genes, but it is to have "
            f"{n_pathways} of {n_genes} genes. Change n_pathways or n_genes."
        )


def _check_combinations(n_perturbations: int, n_combinations: int, interaction: float | None) -> None:
    n_single = max(n_perturbations - n_combinations, 0)
    n_pairs = n_single * (n_single - 1) // 2
    if n_combinations < 0:
        raise InputError(f"--combinations must be 0 or more, but it is {n_combinations:,}. Leave it out.")
    if n_combinations > n_pairs:
        raise InputError(
            f"--combinations are pairs of genes that are perturbed alone too, but {n_combinations:,} of "
            f"{n_perturbations:,} perturbations leave {n_single:,} single genes, which form {n_pairs:,} "
            "pairs. Give another number."
        )
    if interaction is not None and not 0 <= interaction <= MOST_INTERACTION:
        raise InputError(
            f"--interaction must be 0 to {MOST_INTERACTION} log units, but it is {interaction:g}. At 1 it is "
            "as strong as a large effect."
        )


def _draw_truth(n_genes: int, n_pathways: int, perturbed: IntArray, seed: int) -> Truth:
    generator = numpy_generator(seed, "simulated effects")
    pathway = np.sort(np.arange(n_genes) % n_pathways)
    downstream = _draw_downstream(n_pathways, generator)
    # How each gene answers when its pathway is moved; its sign belongs to the gene.
    answer = generator.choice([-1.0, 1.0], n_genes) * generator.uniform(0.4, 1.0, n_genes)
    strength = generator.uniform(0.75, 1.25, n_genes)
    gene_effect = strength[perturbed, None] * downstream[pathway[perturbed]][:, pathway] * answer
    gene_effect += _draw_specific(n_genes, perturbed, generator)
    gene_effect[np.arange(len(perturbed)), perturbed] = -2.0  # the knock-down itself
    common_effect = np.zeros(n_genes)
    common_effect[generator.choice(n_genes, COMMON_GENES, replace=False)] = generator.normal(
        0, 0.6, COMMON_GENES
    )
    baseline = generator.lognormal(0, 0.8, n_genes)
    module_sign, moved = _draw_modules(n_pathways, numpy_generator(seed, "simulated interactions"))
    return Truth(
        gene_names=np.array([f"GENE{number + 1:04d}" for number in range(n_genes)]),
        pathway=pathway,
        downstream=downstream,
        perturbed=perturbed,
        gene_effect=gene_effect,
        common_effect=common_effect,
        module_sign=module_sign,
        module_effect=moved[:, pathway] * answer,
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


def _draw_modules(n_pathways: int, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw each pathway's sign for a module, (n_pathways, n_modules), and the pathways that it moves."""
    moved = np.zeros((N_MODULES, n_pathways))
    n_moved = min(MODULE_PATHWAYS, n_pathways)
    for module in moved:
        module[generator.choice(n_pathways, n_moved, replace=False)] = generator.choice([-1.0, 1.0], n_moved)
    return generator.choice([-1.0, 1.0], (n_pathways, N_MODULES)), moved


def _draw_specific(n_genes: int, perturbed: IntArray, generator: np.random.Generator) -> FloatArray:
    """Draw effects of single genes, each on a hundredth of all genes, which nothing predicts.

    They are drawn for every gene, so that a gene's effects do not depend on which others are perturbed.

    Returns:
        Of the perturbed genes, (n_perturbed, n_genes).
    """
    hits = [np.flatnonzero(generator.random(n_genes) < 0.01) for _ in range(n_genes)]
    row_of = {gene: row for row, gene in enumerate(perturbed.tolist())}
    specific = np.zeros((len(perturbed), n_genes))
    for gene, own_hits in enumerate(hits):
        strengths = generator.normal(0, 0.6, n_genes)
        if gene in row_of:
            specific[row_of[gene], own_hits] = strengths[own_hits]
    return specific


def _draw_targets(
    n_genes: int, n_single: int, n_combinations: int, generator: np.random.Generator
) -> list[list[int]]:
    """Choose perturbed genes, then pairs of them."""
    single = np.sort(generator.choice(n_genes, n_single, replace=False))
    pairs: set[tuple[int, int]] = set()
    # A set: a pair that comes twice does not count.
    while len(pairs) < n_combinations:
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
    n_genes = len(truth.gene_names)
    batch = generator.integers(n_batches, size=len(row_effect))
    batch_effect = generator.normal(0, 0.2, (n_batches, n_genes))
    library_size = generator.lognormal(np.log(MEAN_COUNTS), 0.25, len(row_effect))
    all_effects = np.vstack([effects, np.zeros(n_genes)])

    def draw_counts() -> Iterator[scipy.sparse.csr_matrix]:
        n_at_once = max(1, VALUES_AT_ONCE // n_genes)
        for start in range(0, len(row_effect), n_at_once):
            rows = slice(start, start + n_at_once)
            share = truth.baseline * np.exp(all_effects[row_effect[rows]] + batch_effect[batch[rows]])
            mean = share / share.sum(axis=1, keepdims=True) * library_size[rows, None]
            counts = generator.poisson(generator.gamma(1 / DISPERSION, DISPERSION * mean))
            yield scipy.sparse.csr_matrix(counts.astype(np.float32))

    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(np.array(names)[row_effect]),
            "batch": pd.Categorical([f"batch{number + 1}" for number in batch]),
        },
        index=[f"CELL{number + 1:06d}" for number in range(len(row_effect))],
    )
    var = pd.DataFrame(index=pd.Index(truth.gene_names, name="gene_symbol"))
    _write_h5ad(path, draw_counts(), obs, var)


def _write_h5ad(
    path: Path, parts: Iterator[scipy.sparse.csr_matrix], obs: pd.DataFrame, var: pd.DataFrame
) -> None:
    """Write cells part by part; the first part with everything else, as anndata would."""
    import anndata
    import h5py
    from anndata.io import sparse_dataset, write_elem

    first = next(parts)
    is_whole = first.shape[0] == len(obs)
    if not is_whole:
        first.indptr = first.indptr.astype(np.int64)  # parts to come may hold more values than 32 bits count
    # Through memory: on a full disk HDF5 cannot close its file, and the process crashes later.
    image = io.BytesIO()
    with h5py.File(image if is_whole else path, "w") as file:
        cells = anndata.AnnData(first, obs=obs.iloc[: first.shape[0]], var=var)
        write_elem(file, "/", cells, dataset_kwargs={"compression": "gzip"})
        for part in parts:
            sparse_dataset(file["X"]).append(part)
        if not is_whole:
            write_elem(file, "obs", obs, dataset_kwargs={"compression": "gzip"})
    if is_whole:
        path.write_bytes(image.getbuffer())


def _write_network(path: Path, truth: Truth, generator: np.random.Generator) -> None:
    """Write edges within pathways, fewer down from pathway to pathway, and some that mean nothing."""
    n_genes = len(truth.gene_names)
    # Every pair of genes has a score and a chance, drawn gene by gene: at size they fill the memory.
    above_lowest = [generator.integers(0, 300, n_genes - gene).astype(np.int16) for gene in range(1, n_genes)]
    is_downstream = (truth.downstream != 0) | (truth.downstream.T != 0)
    edges = []
    for gene in range(n_genes - 1):
        own, others = truth.pathway[gene], truth.pathway[gene + 1 :]
        is_near = is_downstream[own, others]
        chance = np.where(own == others, 0.35, np.where(is_near, 0.02, 0.005))
        lowest = np.where(own == others, 600, np.where(is_near, 400, 200))
        chosen = np.flatnonzero(generator.random(len(others)) < chance)
        score = lowest[chosen] + above_lowest[gene][chosen]
        edges.append(np.stack([np.full(len(chosen), gene), gene + 1 + chosen, score]))
    first, second, score = np.concatenate(edges, axis=1)
    pd.DataFrame(
        {"gene_a": truth.gene_names[first], "gene_b": truth.gene_names[second], "score": score}
    ).to_csv(path, sep="\t", index=False, compression={"method": "gzip", "mtime": 0})


def _write_text(path: Path, truth: Truth, generator: np.random.Generator) -> None:
    """Write a vector for each gene: its pathway's, with noise of its own."""
    centres = generator.normal(size=(len(truth.downstream), TEXT_SIZE))
    noise = generator.normal(0, 0.7, (len(truth.gene_names), TEXT_SIZE))
    embedding = (centres[truth.pathway] + noise).astype(np.float32)
    np.savez(path, symbols=truth.gene_names, embedding=embedding)
