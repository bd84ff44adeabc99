"""Tables of a study's own design on the page: the leaderboard of systems, what each source is worth."""

from collections.abc import Sequence

from adapert.errors import InputError
from adapert.results.study import StudyResults
from adapert.study.plan.peers import PEERS
from analysis.priors import PRIORS
from analysis.report.elements import Paragraph, Part, build_page_table
from analysis.sources import build_joined_tables, build_study_tables, join_comparisons


def build_systems(study: StudyResults, split: str) -> list[Part]:
    """Lay out the systems of a comparison, the best first; nothing for a study of another design."""
    return _build_tables(study, split, "leaderboard") if study.design == PEERS else []


def build_side_by_side(studies: Sequence[StudyResults], split: str) -> list[Part]:
    """Lay out the paper's tables of the comparisons of systems among some studies; nothing without any."""
    return [
        build_page_table(table.to_flat(), table.title, note=table.caption, is_best=table.is_best)
        for table in build_joined_tables(join_comparisons(studies), split)
    ]


def build_sources(study: StudyResults, split: str) -> list[Part]:
    """Lay out what each source of priors is worth; nothing for a study of another design."""
    return _build_tables(study, split, "comparison of sources") if study.design == PRIORS else []


def _build_tables(study: StudyResults, split: str, noun: str) -> list[Part]:
    try:
        tables = build_study_tables(study, split)
    except InputError as error:
        return [Paragraph(f"No {noun} of {study.name}: {error}")]
    return [build_page_table(table.cells, table.title, note=table.caption) for table in tables]
