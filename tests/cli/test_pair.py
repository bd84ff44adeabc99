"""`adapert compare`: what it prints of two trials."""

import json

import pytest
from fixtures.command import Refused, RunCommand, documented_keys
from fixtures.store import Store


def test_compare_prints_fields_metrics_and_what_they_say(adapert: RunCommand, store: Store) -> None:
    ended = adapert("compare", "ablate_parts/1", "ablate_parts/3", "--workspace", store.directory)
    assert (ended.status, ended.err) == (0, "")
    assert "They have the same config." in ended.out
    (row,) = [line for line in ended.out.splitlines() if line.startswith("Pearson-delta ↑")]
    assert row.split()[2:5] == [".508", ".408", "-.100"]
    assert row.endswith("0 of 5   ")
    assert "the Pearson-delta of ablate_parts/003 is 0.100 lower than that of ablate_parts/001" in ended.out
    assert "Worse predicted: " in ended.out
    assert "Better predicted: " not in ended.out


def test_a_trial_may_be_named_by_its_run(adapert: RunCommand, store: Store) -> None:
    run = store.study("ablate_parts").trials[2].run_id
    ended = adapert("compare", "ablate_parts/1", run, "--workspace", store.directory)
    assert "the Pearson-delta of ablate_parts/003 is 0.100 lower than that of ablate_parts/001" in ended.out


def test_compare_as_json_has_the_documented_keys(adapert: RunCommand, store: Store) -> None:
    where = ("--workspace", store.directory)
    said = json.loads(adapert("compare", "ablate_parts/1", "vary_lambda/2", *where, "--json").out)
    assert list(said) == documented_keys("`compare`")
    assert said["first"]["trials"] == ["ablate_parts/001"]
    assert [row["metric"] for row in said["metrics"]][:2] == ["pearson_delta", "pds"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ablate_part", "ablate_parts"], "Did you mean 'ablate_parts'?"),
        (["ablate_parts/99", "ablate_parts"], "has no trial '99'"),
        (["none.yaml", "ablate_parts"], "there is no file 'none.yaml'"),
    ],
)
def test_what_is_not_there_is_refused(refused: Refused, store: Store, words: list[str], says: str) -> None:
    assert says in refused("compare", *words, "--workspace", store.directory)
