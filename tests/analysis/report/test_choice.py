from dataclasses import replace

import pandas as pd
import pytest
import yaml
from fixtures.narrowed import of_kind, present
from fixtures.store import Store

from adapert.config import Config
from adapert.selection.rank import pick
from analysis.findings.pick import ReadPick, read_pick
from analysis.report.choice import build_choice
from analysis.report.elements import Code, PageTable, Paragraph


def test_the_picked_config_is_printed_as_commands_read_it(store: Store) -> None:
    read = read_pick(store.directory, store.study("search_wide"))
    parts = build_choice(store.study("search_wide"), read)
    assert isinstance(parts[-1], Code)
    assert Config.model_validate(yaml.safe_load(parts[-1].text)) == present(read.pick).config


def test_what_configs_reached_when_trained_again_comes_before_the_search(store: Store) -> None:
    read = read_pick(store.directory, store.study("search_wide"))
    again = pd.DataFrame({"rank": [1], "searched": [0.4], "fresh": [0.35], "drop": [0.05], "n_trials": [5]})
    picked = replace(read, pick=replace(present(read.pick), reevaluated=again))
    parts = build_choice(store.study("search_wide"), picked)
    first, second = (part for part in parts if isinstance(part, PageTable))
    assert [cell.text for cell in first.rows[0]] == ["1", "0.4000", "0.3500", "0.0500", "5"]
    assert "of the search" in second.caption


@pytest.mark.parametrize(("objective", "label"), [("pearson_delta", "Pearson-delta"), ("pds", "PDS")])
def test_the_interval_is_that_of_the_objective(store: Store, objective: str, label: str) -> None:
    picked = pick(store.study("ablate_parts"), objective)
    of_table = picked.candidates.assign(config_digest="d")  # of every row of the store's tables
    read = ReadPick("ablate_parts", replace(picked, candidates=of_table))
    tables = build_choice(store.study("ablate_parts"), read)
    (found,) = (part for part in tables if getattr(part, "caption", "").startswith("The best"))
    table = of_kind(PageTable, found)
    heads = [column.label for column in table.columns]
    assert heads.index("low") == heads.index(label) + 1
    assert f"interval of {label}'s mean" in table.note


def test_without_a_finished_trial_the_reason_stands_alone(store: Store) -> None:
    read = read_pick(store.directory, store.study("start_only"))
    (part,) = build_choice(store.study("start_only"), read)
    assert "'start_only' has none" in of_kind(Paragraph, part).text
