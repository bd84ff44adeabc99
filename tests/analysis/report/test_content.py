from pathlib import Path

import pytest
from fixtures.copied import OwnStore
from fixtures.store import Store

from adapert.errors import InputError
from analysis.report.content import Report, build_report
from analysis.report.elements import Heading, PageTable, Paragraph, Section


def section(report: Report, title: str) -> Section:
    return next(section for section in report.sections if section.title == title)


@pytest.mark.parametrize("study", ["start_only", "search_wide"])
def test_any_study_gives_a_report(store: Store, study: str) -> None:
    report = build_report(store.directory, [study])
    assert [finding.topic for finding in report.findings.findings][-2:] == ["certainty", "undecided"]
    assert 3 <= len(report.findings.findings) <= 6
    assert section(report, "Versions").parts


def test_a_question_is_read_from_the_studys_own_run(own_store: OwnStore) -> None:
    report = build_report(own_store.directory, ["ablate_parts"])
    assert report.questions[0][1].endswith('"worth" it?')


def test_a_study_named_twice_is_told_once(store: Store) -> None:
    assert len(build_report(store.directory, ["start_only", "start_only"]).questions) == 1


def test_with_several_studies_each_part_says_whose_it_is(own_store: OwnStore) -> None:
    report = build_report(own_store.directory, ["start_only", "search_wide"])
    parts = section(report, "Leaderboard").parts
    assert [part.text for part in parts if isinstance(part, Heading)] == ["start_only", "search_wide"]


def test_parts_that_have_nothing_say_so_in_a_sentence(store: Store) -> None:
    report = build_report(store.directory, ["search_wide"])
    for title in ("Evaluations", "Accesses to the test split", "Failed and stopped trials"):
        assert isinstance(section(report, title).parts[0], Paragraph)


def test_an_unknown_study_is_refused_with_the_nearest(store: Store) -> None:
    with pytest.raises(InputError, match="Did you mean 'search_wide'"):
        build_report(store.directory, ["serch_wide"])


def test_systems_lead_the_leaderboard_of_their_comparison(peers_workspace: Path) -> None:
    report = build_report(peers_workspace, ["peers"])
    systems, by_size, configs = section(report, "Leaderboard").parts
    assert isinstance(systems, PageTable)
    assert systems.caption.startswith(
        "Systems after equal searches, study 'peers', 10 validation perturbations"
    )
    assert systems.rows[0][1].text == "kernel ridge"
    assert "own version" in systems.note
    assert isinstance(by_size, PageTable)
    assert isinstance(configs, PageTable)
    performance = section(report, "Systems by data set").parts[0]
    assert isinstance(performance, PageTable)
    assert [column.label for column in performance.columns][:3] == [
        "Reads",
        "System",
        "peers: Pearson-delta ↑",
    ]
    assert [row[1].text for row in performance.rows if row[2].is_best] == ["kernel ridge"]
