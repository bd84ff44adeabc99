from dataclasses import replace

import pandas as pd
import pytest
from fixtures.narrowed import present
from fixtures.store import Store

from adapert.selection.rank import Lead
from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from analysis.findings.finding import Finding
from analysis.findings.pick import ReadPick, find_pick, read_pick


def find(store: Store, lead: Lead | None) -> Finding:
    """A pick that reached .7 when it was trained again."""
    pick = present(read_pick(store.directory, store.study("search_wide")).pick)
    again = pd.DataFrame({"rank": [1, 2], "pearson_delta": [0.7, 0.65], "drop": [0.01, 0.0]})
    return find_pick(ReadPick("search_wide", replace(pick, reevaluated=again, lead=lead)))


@pytest.mark.parametrize(
    ("lead", "certainty", "end"),
    [
        (Lead(0.05, 6, 6), SUPPORTED, "it is ahead in 6 of 6 paired trials."),
        (Lead(0.05, 5, 5), UNDECIDED, "it is ahead in 5 of 5 paired trials, too few to decide."),
        (Lead(0.05, 5, 6), UNDECIDED, "it is ahead in 5 of 6 paired trials, which decides nothing."),
        (None, UNDECIDED, "no other config was trained again, so its lead is undecided."),
    ],
)
def test_a_lead_is_decided_by_enough_pairs(store: Store, lead: Lead | None, certainty: str, end: str) -> None:
    finding = find(store, lead)
    assert finding.certainty == certainty
    assert finding.sentence.endswith(end)
    assert "rank 1 of the search, with a validation Pearson-delta of 0.7000" in finding.sentence
    assert ("that is 0.0500 more than the next" in finding.sentence) == (lead is not None)


def test_a_pick_that_was_not_trained_again_has_an_undecided_lead(store: Store) -> None:
    finding = find_pick(read_pick(store.directory, store.study("search_wide")))
    assert finding.certainty == UNDECIDED
    assert "the best of 1 config has a validation Pearson-delta of 0.4000; it was not" in finding.sentence


def test_a_search_without_a_finished_trial_says_why_there_is_no_pick(store: Store) -> None:
    finding = find_pick(read_pick(store.directory, store.study("start_only")))
    assert finding.sentence.startswith("Pick ('start_only'): undecided. A config is picked among finished")
