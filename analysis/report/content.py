"""What the page says: every section, read from the workspace (or MLflow) and the prepared data's manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapert.comparison.test_access import Access, read_accesses
from adapert.errors import join_words
from adapert.results.find import open_study
from adapert.results.study import StudyResults
from analysis.findings.finding import Findings
from analysis.findings.gather import Evidence, gather_findings, list_evaluations
from analysis.findings.pick import ReadPick, read_pick
from analysis.report.choice import build_choice
from analysis.report.drawings import draw_study, gather_figures
from analysis.report.effects import build_effects
from analysis.report.elements import Heading, Part, Section
from analysis.report.evaluations import build_accesses, build_evaluations
from analysis.report.provenance import build_commands, build_data, build_versions
from analysis.report.questions import build_claims, build_importance, read_claims
from analysis.report.results import build_cost_table, build_failures, build_first_rungs, build_leaderboard
from analysis.report.systems import build_side_by_side, build_sources, build_systems


@dataclass(frozen=True)
class Report:
    """All that a page says.

    Attributes:
        title: Title of the page.
        made_at: Time at which the page was made, UTC.
        questions: Study and the question that it was to answer.
        findings: The answer in a few sentences, and what weakens it.
        sections: In their order.
    """

    title: str
    made_at: str
    questions: tuple[tuple[str, str], ...]
    findings: Findings
    sections: tuple[Section, ...]


def build_report(workspace: Path, studies: Sequence[str], split: str = "validation") -> Report:
    """Gather what is known of studies.

    Args:
        workspace: With the studies, their evaluations and the ledger of accesses to the test split, as far as
            they exist.
        studies: Their names.
        split: Split that the figures show.

    Raises:
        InputError: No such store or study, a study of several designs, or a damaged ledger of accesses.
    """
    names = list(dict.fromkeys(studies))
    results = [open_study(workspace, name) for name in names]
    # First: a study of several designs is refused before anything is drawn.
    searches = [study for study in results if study.design == "search"]
    accesses = read_accesses(workspace)
    drawn = {study.name: draw_study(study, split) for study in results}
    picks = {study.name: read_pick(workspace, study) for study in searches}
    read = read_claims(results, split)
    findings = gather_findings(
        Evidence(
            studies=results,
            split=split,
            summaries={name: frame for name, one in drawn.items() for frame in one.summaries.values()},
            picks=picks,
            claims=read.claims,
            evaluations=list_evaluations(workspace, accesses),
        )
    )
    answers = [_section("Figures", gather_figures([drawn[r.name] for r in results if r not in searches]))]
    answers += [_section("The paper's claims", build_claims(read))]
    sections = [
        *answers,
        *_sections_of_results(results, searches, split, picks),
        _section("Figures of the search", gather_figures([drawn[r.name] for r in searches])),
        *_sections_of_origin(workspace, results, picks, accesses),
    ]
    return Report(
        title=f"Report on {join_words(names)}",
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        questions=tuple((r.name, r.question or "Its question was not recorded.") for r in results),
        findings=findings,
        sections=tuple(section for section in sections if section.parts),
    )


def _sections_of_results(
    results: Sequence[StudyResults],
    searches: Sequence[StudyResults],
    split: str,
    picks: Mapping[str, ReadPick],
) -> list[Section]:
    """Lay out what the answers stand on."""
    own = {r.name: build_sources(r, split) + build_effects(r, split) + build_importance(r) for r in results}
    ranked = {r.name: build_systems(r, split) + build_leaderboard(r) for r in results}
    picked = {r.name: build_choice(r, picks[r.name]) for r in searches}
    return [
        _section("Tables", _by_study(results, own)),
        _section("Leaderboard", _by_study(results, ranked)),
        _section("Systems by data set", build_side_by_side(results, split)),
        _section("Picked config and runners-up", _by_study(searches, picked)),
    ]


def _sections_of_origin(
    workspace: Path,
    results: Sequence[StudyResults],
    picks: Mapping[str, ReadPick],
    accesses: Sequence[Access],
) -> list[Section]:
    """Lay out what was run, on what, by which code, and how to run it again."""
    fingerprints = {study.fingerprint for study in results}
    failures = {r.name: build_failures(r) for r in results}
    return [
        _section("Evaluations", build_evaluations(workspace, accesses, fingerprints)),
        _section("Accesses to the test split", build_accesses(accesses)),
        _section("What was run, and what it cost", [build_cost_table(results), *build_first_rungs(results)]),
        _section("Failed and stopped trials", _by_study(results, failures)),
        _section("Data", build_data(results, workspace)),
        _section("Versions", [build_versions(results)]),
        _section("How to run it again", build_commands(results, workspace, list(picks.values()), accesses)),
    ]


def _section(title: str, parts: Sequence[Part]) -> Section:
    anchor = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return Section(anchor.replace("--", "-"), title, tuple(parts))


def _by_study(studies: Sequence[StudyResults], parts: dict[str, list[Part]]) -> list[Part]:
    """Put each study's parts below its name, where there are several."""
    named = [study.name for study in studies if parts[study.name]]
    headings: dict[str, list[Part]] = {name: [Heading(name)] if len(studies) > 1 else [] for name in named}
    return [part for name in named for part in (*headings[name], *parts[name])]
