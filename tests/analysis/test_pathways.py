from dataclasses import replace

import gseapy
import numpy as np
import pandas as pd
import pytest
from fixtures.predictions import build_predictions
from scipy.stats import pearsonr

from adapert.errors import InputError
from adapert.seeding import derive_seed
from analysis.pathways import (
    compare_pathways,
    correlate_pathways,
    enrich,
    summarize_pathway_agreement,
)
from analysis.predictions import Predictions

N_PERMUTATIONS = 50


@pytest.fixture
def predictions() -> Predictions:
    return build_predictions()


@pytest.fixture
def gene_sets() -> dict[str, list[str]]:
    """Two sets of usable size, one of too few genes."""
    return {
        "UP": [f"G{gene:02d}" for gene in range(20)],
        "ANY": [f"G{gene:02d}" for gene in range(1, 60, 3)],
        "FEW": ["G00", "G01", "ELSEWHERE"],
    }


def _delta(generator: np.random.Generator) -> np.ndarray:
    delta = generator.normal(0, 0.1, size=60)
    delta[:20] += 1
    return delta


def test_a_set_of_raised_genes_is_enriched(predictions: Predictions, gene_sets: dict[str, list[str]]) -> None:
    table = enrich(_delta(np.random.default_rng(0)), predictions.gene_names, gene_sets, 0, N_PERMUTATIONS)
    assert table["pathway"].tolist() == ["ANY", "UP"]
    assert table["n_genes"].tolist() == [20, 20]
    scores = table.set_index("pathway")
    assert scores["nes"]["UP"] > 1.5
    assert scores["fdr"]["UP"] < 0.05 < scores["fdr"]["ANY"]


def test_without_ties_the_ranking_is_gseapys_own(
    predictions: Predictions, gene_sets: dict[str, list[str]]
) -> None:
    delta = _delta(np.random.default_rng(1))
    ours = enrich(delta, predictions.gene_names, gene_sets, 3, N_PERMUTATIONS).set_index("pathway")
    theirs = gseapy.prerank(
        rnk=pd.Series(delta, index=predictions.gene_names).sort_values(ascending=False),
        gene_sets=gene_sets,
        min_size=15,
        permutation_num=N_PERMUTATIONS,
        seed=derive_seed(3, "pathways") % 2**31,
        outdir=None,
        no_plot=True,
    ).res2d.set_index("Term")
    np.testing.assert_allclose(ours["nes"], theirs["NES"].astype(float).reindex(ours.index), rtol=1e-6)


def test_the_order_of_genes_changes_nothing_even_with_ties(
    predictions: Predictions, gene_sets: dict[str, list[str]]
) -> None:
    delta = np.round(_delta(np.random.default_rng(2)), 1)
    order = np.random.default_rng(3).permutation(60)
    first = enrich(delta, predictions.gene_names, gene_sets, 0, N_PERMUTATIONS)
    second = enrich(delta[order], predictions.gene_names[order], gene_sets, 0, N_PERMUTATIONS)
    assert first.equals(second)


def test_equal_deltas_enrich_nothing(predictions: Predictions, gene_sets: dict[str, list[str]]) -> None:
    table = enrich(np.zeros(60), predictions.gene_names, gene_sets)
    assert (table["nes"].tolist(), table["fdr"].tolist()) == ([0.0, 0.0], [1.0, 1.0])


def test_sets_of_other_genes_are_refused(predictions: Predictions) -> None:
    with pytest.raises(InputError, match=r"must have 15 to 500 of the 60 .*, but the largest of 1 set has 0"):
        enrich(np.arange(60.0), predictions.gene_names, {"MOUSE": ["Actb", "Gapdh"]})


def test_a_perfect_prediction_has_the_observed_pathways(
    predictions: Predictions, gene_sets: dict[str, list[str]]
) -> None:
    perfect = replace(predictions, predicted_delta={"perfect": predictions.observed_delta})
    frame = compare_pathways(perfect, gene_sets, "G02", ["perfect"], N_PERMUTATIONS)
    assert frame["observed_nes"].equals(frame["predicted_nes"].rename("observed_nes"))
    assert set(frame["status"]) <= {"neither", "both"}


def test_status_says_where_a_pathway_is_significant(
    predictions: Predictions, gene_sets: dict[str, list[str]]
) -> None:
    deltas = predictions.observed_delta.copy()
    deltas[2] = _delta(np.random.default_rng(0))
    flat = np.zeros_like(deltas)
    for observed, predicted, status in ((deltas, flat, "observed only"), (flat, deltas, "predicted only")):
        case = replace(predictions, observed_delta=observed, predicted_delta={"x": predicted})
        frame = compare_pathways(case, gene_sets, "G02", ["x"], N_PERMUTATIONS)
        assert frame.set_index("pathway").loc["UP", "status"] == status


def test_correlation_is_pearsons() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "observed_nes": generator.normal(size=8),
            "predicted_nes": generator.normal(size=8),
            "status": ["both"] * 2 + ["observed only"] * 3 + ["neither"] * 3,
        }
    )
    scores = correlate_pathways(frame)
    expected = pearsonr(frame["observed_nes"], frame["predicted_nes"])
    assert (scores["r"], scores["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert (scores["n_observed"], scores["n_predicted"], scores["n_both"]) == (5, 2, 2)
    assert np.isnan(correlate_pathways(frame.assign(predicted_nes=0.0))["r"])


def test_agreement_has_a_row_a_variant_and_perturbation(
    predictions: Predictions, gene_sets: dict[str, list[str]]
) -> None:
    table = summarize_pathway_agreement(predictions, gene_sets, ["adapert", "mean"], 10)
    assert table.groupby("variant", sort=False).size().to_dict() == {"adapert": 6, "mean": 6}
    assert table["perturbation"].unique().tolist() == predictions.perturbations.tolist()
