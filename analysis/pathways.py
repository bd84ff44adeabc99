"""Enrichment of gene sets in observed and in predicted changes (Sec. 5.6, App. G), by gseapy's prerank."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from adapert.data.formats.gene_sets import GeneSets
from adapert.data.schema import FloatArray, StringArray
from adapert.errors import InputError, format_count, name_some
from adapert.seeding import derive_seed, numpy_generator
from analysis.predictions import Predictions

N_PERMUTATIONS = 1000
MIN_GENES, MAX_GENES = 15, 500
"""Smallest and largest number of a pathway's measured genes: GSEA's own defaults."""

SIGNIFICANT_FDR = 0.25

STATUSES = ("neither", "observed only", "predicted only", "both")
"""In which of the two a pathway is significant."""


def enrich(
    delta: FloatArray,
    gene_names: StringArray,
    gene_sets: GeneSets,
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
) -> pd.DataFrame:
    """Find the gene sets whose genes gather at either end of a ranking by delta.

    The same genes, deltas and seed give the same result in any order of genes. Genes of equal delta are
    ranked at random: by name, families of genes would stand together and look enriched.

    Args:
        delta: One perturbation's change, (n_genes,).
        gene_names: (n_genes,).
        gene_sets: From `adapert.data.formats.gene_sets.read_gene_sets`; those with too few or too many of
            these genes are left out.
        seed: Seed of the permutations.
        n_permutations: Permutations of the genes, behind NES and FDR.

    Returns:
        pathway, n_genes, nes and fdr, sorted by pathway; nes is 0 and fdr 1 where all deltas are equal.

    Raises:
        InputError: No set has enough of the genes.
    """
    from gseapy import prerank  # 1.5 s, and only Figure 9 needs it

    sizes = _sizes(gene_sets, gene_names)
    if np.ptp(delta) == 0:
        return pd.DataFrame({"pathway": sizes.index, "n_genes": sizes.to_numpy(), "nes": 0.0, "fdr": 1.0})
    result = prerank(
        rnk=_rank(delta, gene_names, seed),
        gene_sets={name: list(gene_sets[name]) for name in sizes.index},
        min_size=MIN_GENES,
        max_size=MAX_GENES,
        permutation_num=n_permutations,
        seed=derive_seed(seed, "pathways") % 2**31,
        threads=1,
        outdir=None,
        no_plot=True,
        verbose=False,
    ).res2d
    table = result.set_index("Term").reindex(sizes.index)
    return pd.DataFrame(
        {
            "pathway": sizes.index,
            "n_genes": sizes.to_numpy(),
            "nes": table["NES"].to_numpy(np.float64),
            "fdr": table["FDR q-val"].to_numpy(np.float64),
        }
    )


def compare_pathways(
    predictions: Predictions,
    gene_sets: GeneSets,
    perturbation: str,
    variants: Sequence[str],
    n_permutations: int = N_PERMUTATIONS,
) -> pd.DataFrame:
    """Enrich one perturbation's observed and predicted deltas.

    Returns:
        evaluation, perturbation, variant, pathway, n_genes, observed_nes, observed_fdr, predicted_nes,
        predicted_fdr and status (of `STATUSES`); a variant's pathways below each other, sorted by name.

    Raises:
        InputError: No such perturbation or variant, or no set has enough genes.
    """
    row = predictions.row_of(perturbation)
    predicted = {variant: predictions.prediction_of(variant)[row] for variant in variants}

    def enrich_side(delta: FloatArray) -> pd.DataFrame:
        return enrich(delta, predictions.gene_names, gene_sets, n_permutations=n_permutations)

    observed = enrich_side(predictions.observed_delta[row]).rename(
        columns={"nes": "observed_nes", "fdr": "observed_fdr"}
    )
    parts = []
    for variant, delta in predicted.items():
        side = enrich_side(delta)
        both = observed.assign(predicted_nes=side["nes"], predicted_fdr=side["fdr"])
        identity = {"evaluation": predictions.name, "perturbation": perturbation, "variant": variant}
        for place, (column, value) in enumerate(identity.items()):
            both.insert(place, column, value)
        is_observed = both["observed_fdr"] < SIGNIFICANT_FDR
        is_predicted = both["predicted_fdr"] < SIGNIFICANT_FDR
        parts.append(both.assign(status=np.array(STATUSES)[is_observed + 2 * is_predicted]))
    return pd.concat(parts, ignore_index=True)


def correlate_pathways(comparison: pd.DataFrame) -> dict[str, Any]:
    """Correlate predicted with observed NES over pathways.

    Pathways share genes, so they are not independent and p is too small.

    Args:
        comparison: One variant's rows from `compare_pathways`.

    Returns:
        Pearson ``r`` and its two-sided ``p_value``, NaN where either side is constant or there are fewer than
        three pathways; ``n_pathways``, and how many are significant: ``n_observed``, ``n_predicted`` and
        ``n_both``.
    """
    from scipy.stats import pearsonr

    known = comparison.dropna(subset=["observed_nes", "predicted_nes"])
    observed, predicted = known["observed_nes"].to_numpy(), known["predicted_nes"].to_numpy()
    is_defined = len(known) > 2 and np.ptp(observed) > 0 and np.ptp(predicted) > 0
    r, p_value = pearsonr(observed, predicted) if is_defined else (np.nan, np.nan)
    counts = comparison["status"].value_counts()
    n_both = int(counts.get("both", 0))
    return {
        "r": float(r),
        "p_value": float(p_value),
        "n_pathways": len(known),
        "n_observed": int(counts.get("observed only", 0)) + n_both,
        "n_predicted": int(counts.get("predicted only", 0)) + n_both,
        "n_both": n_both,
    }


def summarize_pathway_agreement(
    predictions: Predictions,
    gene_sets: GeneSets,
    variants: Sequence[str],
    n_permutations: int = 100,  # fewer than for one perturbation: only NES matters much here
) -> pd.DataFrame:
    """Correlate pathways of every perturbation: how Figure 9 would look for each.

    Returns:
        variant, perturbation, effect_size and what `correlate_pathways` gives; perturbations in their order.

    Raises:
        InputError: As `compare_pathways`.
    """
    rows = []
    for name, effect_size in zip(predictions.perturbations, predictions.effect_size, strict=True):
        compared = compare_pathways(predictions, gene_sets, str(name), variants, n_permutations)
        for variant, pathways in compared.groupby("variant", sort=False):
            identity = {"variant": variant, "perturbation": str(name), "effect_size": str(effect_size)}
            rows.append(identity | correlate_pathways(pathways))
    return pd.DataFrame(rows)


def _rank(delta: FloatArray, gene_names: StringArray, seed: int) -> "pd.Series[float]":
    """Order genes by falling delta, ties at random, and set ties apart by less than matters."""
    by_name = pd.Series(delta.astype(np.float64), index=gene_names).sort_index()
    drawn = by_name.iloc[numpy_generator(seed, "pathways/ties").permutation(len(by_name))]
    ordered = drawn.sort_values(ascending=False, kind="stable")
    # gseapy sorts again, and ties anyhow.
    apart = 1e-9 * float(ordered.abs().max()) * np.arange(len(ordered)) / len(ordered)
    return ordered - apart


def _sizes(gene_sets: GeneSets, gene_names: StringArray) -> "pd.Series[int]":
    """Count each set's measured genes, sets of usable size only, sorted by name."""
    measured = set(gene_names.tolist())
    sizes = pd.Series({name: len(measured.intersection(genes)) for name, genes in sorted(gene_sets.items())})
    usable = sizes[(sizes >= MIN_GENES) & (sizes <= MAX_GENES)]
    if usable.empty:
        raise InputError(
            f"A gene set must have {MIN_GENES} to {MAX_GENES} of the {len(measured):,} measured genes, but "
            f"the largest of {format_count(len(sizes), 'set')} has {sizes.max()} "
            f"({name_some(gene_names.tolist(), 3)}). Use sets of gene symbols, or prepare more genes."
        )
    return usable
