"""What the page says: every section, read from the workspace (or MLflow) and the prepared data's manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapert.comparison.test_access import read_accesses
from adapert.errors import format_count
from adapert.records import TrialStatus
from adapert.results.find import open_study
from adapert.results.study import StudyResults
from analysis.report.choice import build_choice, read_pick
from analysis.report.drawings import draw_study, gather_figures
from analysis.report.effects import build_effects
from analysis.report.elements import Heading, Part, Section, join_words
from analysis.report.evaluations import build_accesses, build_evaluations
from analysis.report.provenance import build_commands, build_data, build_versions
from analysis.report.questions import build_claims, build_importance
from analysis.report.results import build_cost_table, build_failures, build_leaderboard
from analysis.report.systems import build_sources, build_systems


@dataclass(frozen=True)
class Report:
    """All that a page says.

    Attributes:
        title: Title of the page.
        made_at: Time at which the page was made, UTC.
        questions: Study and the question that it was to answer.
        findings: The answer in a few sentences.
        sections: In their order.
    """

    title: str
    made_at: str
    questions: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
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
    drawn = [draw_study(study, split) for study in results]
    picks = {study.name: read_pick(workspace, study) for study in searches}
    fingerprints = {study.fingerprint for study in results}
    n_accesses = sum(one.data_fingerprint in fingerprints for one in accesses)
    opened = (
        "not opened" if not n_accesses else "opened " + ("once" if n_accesses == 1 else f"{n_accesses} times")
    )
    own = {r.name: build_sources(r, split) + build_effects(r, split) + build_importance(r) for r in results}
    sections = [
        _section("Data", build_data(results, workspace)),
        _section("What was run, and what it cost", [build_cost_table(results)]),
        _section(
            "Leaderboard",
            _by_study(results, {r.name: build_systems(r, split) + build_leaderboard(r) for r in results}),
        ),
        _section(
            "Picked config and runners-up",
            _by_study(searches, {r.name: build_choice(r, picks[r.name]) for r in searches}),
        ),
        _section("Figures", gather_figures(drawn)),
        # The claims first, which several studies answer together; then each study's own.
        _section("Tables", build_claims(results, split) + _by_study(results, own)),
        _section("Evaluations", build_evaluations(workspace, accesses, fingerprints)),
        _section(
            "Failed and stopped trials", _by_study(results, {r.name: build_failures(r) for r in results})
        ),
        _section("Accesses to the test split", build_accesses(accesses)),
        _section("Versions", [build_versions(results)]),
        _section("How to run it again", build_commands(results, workspace, list(picks.values()), accesses)),
    ]
    return Report(
        title=f"Report on {join_words(names)}",
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        questions=tuple((r.name, r.question or "Its question was not recorded.") for r in results),
        findings=(*map(_finding, results), f"The test split of these data was {opened}."),
        sections=tuple(section for section in sections if section.parts),
    )


def _section(title: str, parts: Sequence[Part]) -> Section:
    anchor = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return Section(anchor.replace("--", "-"), title, tuple(parts))


def _by_study(studies: Sequence[StudyResults], parts: dict[str, list[Part]]) -> list[Part]:
    """Put each study's parts below its name, where there are several."""
    named = [study.name for study in studies if parts[study.name]]
    headings: dict[str, list[Part]] = {name: [Heading(name)] if len(studies) > 1 else [] for name in named}
    return [part for name in named for part in (*headings[name], *parts[name])]


def _finding(study: StudyResults) -> str:
    counts = join_words([f"{n} {end}" for end in TrialStatus if (n := study.count(end))] or ["none"])
    counted = f"{study.name}: {format_count(len(study.frame), 'trial')} ({counts})"
    if not any(trial.is_finished for trial in study.trials):
        return f"{counted}; none with a final Pearson-delta."
    best = study.best_trial()
    name = best.trial_id if study.design == "search" else best.variant
    return f"{counted}; best validation Pearson-delta {best.objective:.4f} ({name})."
