"""Tables that answer a study's question at once: the paper's claims, and which fields matter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from adapert.errors import InputError, format_count
from adapert.results.load import NothingToShowError
from adapert.results.study import StudyResults
from analysis.claims import build_claims_table
from analysis.importance import load_importance, summarize_importance
from analysis.report.elements import Column, Paragraph, Part, build_page_table
from analysis.sources import summarize_study_claims

_IMPORTANCE = {
    "field": Column("field"),
    "other": Column("and"),
    "kind": Column("kind"),
    "importance": Column("share of variance", n_decimals=3),
    "low": Column("low", n_decimals=3),
    "high": Column("high", n_decimals=3),
    "probability": Column("probability of an effect", n_decimals=2),
}


@dataclass(frozen=True)
class ReadClaims:
    """The paper's claims about studies.

    Attributes:
        claims: As `analysis.claims.summarize_claims`; None where no study can test them.
        reason: Why they could not be tested, in a sentence.
    """

    claims: pd.DataFrame | None = None
    reason: str = ""


def read_claims(studies: Sequence[StudyResults], split: str) -> ReadClaims:
    """Test the paper's claims about Figures 4 and 5, as far as the studies can."""
    try:
        return ReadClaims(summarize_study_claims(studies, split))
    except InputError as error:
        return ReadClaims(reason=f"The paper's claims are not tested: {error}")


def build_claims(read: ReadClaims) -> list[Part]:
    """Lay out the paper's claims; nothing where no study can test them."""
    if read.claims is None:
        return [Paragraph(read.reason)] if read.reason else []
    table = build_claims_table(read.claims)
    return [replace(build_page_table(table.cells, table.title, note=table.caption), is_wrapped=True)]


def build_importance(study: StudyResults) -> list[Part]:
    """Lay out which fields and pairs of fields matter; nothing for a study of another design."""
    if study.design != "importance":
        return []
    try:
        summary = summarize_importance(load_importance(study))
    except NothingToShowError as error:
        return [Paragraph(f"No importance of {study.name}: {error}")]
    n_configs, n_left_out = int(summary["n_configs"].iloc[0]), int(summary["n_left_out"].iloc[0])
    note = (
        f"Shares of the variance of Pearson-delta over the space, {format_count(n_configs, 'config')}, "
        f"{format_count(n_left_out, 'unfinished trial')} left out; noise of training is in the last row. "
        "Low and high: 95% interval."
    )
    shown = summary[list(_IMPORTANCE)]
    return [build_page_table(shown, f"What matters in {study.name}", _IMPORTANCE, note)]
