"""Agreement of pathways over all perturbations: what Figure 9 shows of one (App. G)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.figures.prediction import model_label
from analysis.pathways import SIGNIFICANT_FDR
from analysis.tables.performance import describe_evaluation
from analysis.tables.table import PaperTable, decimal, whole

PATHWAYS_STEM = "table_pathways"


def summarize_agreement(agreement: pd.DataFrame) -> pd.DataFrame:
    """Summarise pathway agreement by variant.

    Returns:
        variant, mean_r and sd_r over perturbations with a defined r, n_perturbations (those), and over all
        perturbations n_observed and n_predicted (significant pathways) and n_both.
    """
    groups = agreement.groupby("variant", sort=False)
    r = groups["r"].agg(["mean", "std", "count"]).set_axis(["mean_r", "sd_r", "n_perturbations"], axis=1)
    counts = groups[["n_observed", "n_predicted", "n_both"]].sum()
    return r.join(counts).reset_index()


def build_pathway_table(agreement: pd.DataFrame, record: Mapping[str, Any]) -> PaperTable:
    """Build a table of how well each variant predicts pathways, over all perturbations."""
    frame = summarize_agreement(agreement)
    heads = {"n_observed": "Observed", "n_predicted": "Predicted", "n_both": "Both"}
    pairs = zip(frame["mean_r"], frame["sd_r"], strict=True)
    cells = {
        "Model": [model_label(variant) for variant in frame["variant"]],
        "r of NES": [decimal(mean, sd) for mean, sd in pairs],
        **{head: frame[column].astype(float).map(whole) for column, head in heads.items()},
    }
    return PaperTable(
        stem=PATHWAYS_STEM,
        title=f"Pathway enrichment, {describe_evaluation(record)}",
        caption=(
            "r: Pearson correlation of predicted with observed NES over pathways, mean ± SD over "
            f"perturbations. Observed, predicted, both: pathways of FDR < {SIGNIFICANT_FDR:g}, summed over "
            "perturbations."
        ),
        frame=frame,
        cells=pd.DataFrame(cells),
    )
