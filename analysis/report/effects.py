"""The section of tables: what each variant of an ablation is worth, paired with the full model."""

import pandas as pd

from adapert.comparison.summary import MAIN_METRICS
from adapert.errors import InputError
from adapert.evaluation.catalogue import find_metric
from adapert.records import TrialStatus
from adapert.results.load import load_per_perturbation
from adapert.results.study import StudyResults
from adapert.statistics.families import EXPLANATION, FEWEST_FAMILIES
from adapert.statistics.questions import REFERENCE, VARIANTS, Question, compare_variants
from adapert.statistics.two_level import CONFIDENCE
from analysis.report.elements import Column, PageTable, Paragraph, Part, build_page_table

_SHOWN = {
    **{name: Column(name.replace("_", " ")) for name in ("effect_size", "metric", "variant", "reference")},
    **{name: Column(name, n_decimals=4) for name in ("difference", "low", "high")},
    **{"p": Column("p"), "p_holm": Column("p, Holm")},
    **{name: Column(name) for name in ("wins", "ties", "losses")},
    "standardized_difference": Column("Cohen's d", n_decimals=2),
    "n_perturbations": Column("perturbations"),
    "n_families": Column("families"),
    "icc": Column("ICC", n_decimals=2),
    **{f"icc_{end}": Column(f"ICC {end}", n_decimals=2) for end in ("low", "high")},
    "design_effect": Column("design effect", n_decimals=2),
    **{f"{end}_unrelated": Column(f"{end}, unrelated", n_decimals=4) for end in ("low", "high")},
    **{"p_wilcoxon": Column("p, unrelated"), "p_families": Column("p, families")},
    "n_seeds": Column("replicates"),
}


def build_effects(study: StudyResults, split: str) -> list[Part]:
    """Lay out paired differences of an ablation's variants; nothing for a study without a full model."""
    variants = {trial.variant for trial in study.trials if trial.status == TrialStatus.FINISHED}
    if REFERENCE not in variants or len(variants) < 2:
        return []
    try:
        long = load_per_perturbation(study)
        chosen = long[(long["split"] == split) & long["metric"].isin(list(MAIN_METRICS))]
        table = compare_variants(chosen)
    except InputError as error:
        return [Paragraph(f"No paired differences of {study.name}: {error}")]
    caption = f"Paired differences in {study.name}, {split} perturbations"
    subtracted = f"Each variant minus '{REFERENCE}' on the same perturbations, seeds and splits."
    return [build_paired_table(table, caption, subtracted, VARIANTS)]


def build_paired_table(table: pd.DataFrame, caption: str, subtracted: str, question: Question) -> PageTable:
    """Lay out paired differences.

    Args:
        table: With effect_size, `PAIRED_COLUMNS`, and reference where that differs by row.
        caption: Title of the table.
        subtracted: A sentence on what is subtracted from what.
        question: The question that the rows answer.
    """
    shown = table[[name for name in _SHOWN if name in table]]
    note = (
        f"{subtracted} Low and high: {CONFIDENCE:.0%} interval of the mean difference over perturbations and "
        f"replicates. p: before and after correction ({question.rule}). Wins: perturbations on which the "
        "variant is better. Cohen's d: mean over standard deviation of the perturbations' differences. ICC: "
        "correlation of differences within families of perturbations, with its interval; design effect: "
        f"what that does to the variance of the mean. {EXPLANATION}"
    )
    if "n_families" in table and (table["n_families"] < FEWEST_FAMILIES).any():
        note += (
            f" With fewer than {FEWEST_FAMILIES} families, intervals may be too narrow, and their p is never "
            "below .05."
        )
    labelled = shown.assign(metric=[find_metric(name).label for name in shown["metric"]])
    return build_page_table(labelled, caption, _SHOWN, note)
