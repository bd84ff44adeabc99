"""The leaderboard of a comparison of systems on the page."""

from adapert.errors import InputError
from adapert.results.study import StudyResults
from adapert.study.plan.peers import PEERS
from analysis.report.elements import Paragraph, Part, build_page_table
from analysis.sources import build_study_tables


def build_systems(study: StudyResults, split: str) -> list[Part]:
    """Lay out the systems of a comparison, the best first; nothing for a study of another design."""
    if study.design != PEERS:
        return []
    try:
        tables = build_study_tables(study, split)
    except InputError as error:
        return [Paragraph(f"No leaderboard of {study.name}: {error}")]
    return [build_page_table(table.cells, table.title, note=table.caption) for table in tables]
