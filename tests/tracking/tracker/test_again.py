import json
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from fixtures.delivered import (
    BASE,
    Breaking,
    Killed,
    deliver,
    everything_in,
    live,
    one_trial,
    tracking,
    ways_to_end,
    without_ids,
)
from fixtures.ledger import BEGIN, HandMade, MakeLedger

from adapert.files import write_whole
from adapert.records import (
    CONFIG_FILE,
    OBJECTIVE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
)
from adapert.tracking.store import DATABASE, open_store
from adapert.tracking.tracker import DELIVERED_FILE, count_waiting


def test_a_study_is_tracked_alike_while_it_runs_and_afterwards(
    made: HandMade, workspace: Path, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / DATABASE).write_bytes((workspace / DATABASE).read_bytes())
    afterwards = ways_to_end(make_ledger(base=BASE, workspace=other))
    deliver(afterwards, other)
    with tracking(made, partial(open_store, workspace)) as tracker:
        ways_to_end(made)
        live(made, tracker, n_seen=1)
        assert tracker.close() == 0
    assert count_waiting(made.folder, made.events) == 0
    assert without_ids(everything_in(workspace)) == without_ids(everything_in(other))


def test_a_backlog_is_counted_run_by_run(
    made: HandMade, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def write(path: Path, text: str) -> None:
        counted.append(json.loads(text)["lines"])
        write_whole(path, text)

    monkeypatch.setattr("adapert.tracking.tracker.write_whole", write)
    deliver(ways_to_end(made), workspace)
    assert counted == sorted(set(counted))
    assert len(counted) == 5  # four trials and the study
    assert counted[-1] == len([event for event in made.events if event.event != "tracked"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_killed_after_any_call_a_tracker_goes_on_without_a_second_run_or_point(
    made: HandMade, workspace: Path
) -> None:
    # One process after the other, each of which is killed by its first write.
    one_trial(made)
    store, n_kills = open_store(workspace), 0

    def kill() -> NoReturn:
        raise Killed

    while True:
        client = Breaking(store[0], kill)
        with tracking(made, partial(lambda client: (client, store[1]), client)) as tracker:
            if tracker.close() == 0:
                break
        n_kills += 1
    assert n_kills > 12
    found = everything_in(workspace)
    assert {trial: run["status"] for trial, run in found.items()} == {"": "FINISHED", "001": "FINISHED"}
    assert [(step, value) for step, _, value in found["001"]["history"][OBJECTIVE]] == [(1, 0.1), (2, 0.2)]
    assert found["001"]["files"] == sorted([CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE])


@pytest.mark.slow
def test_any_number_of_lines_delivered_again_changes_nothing(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    expected = everything_in(workspace)
    whole = made.path.read_text().splitlines()
    said = [json.loads(line) for line in whole]
    lines = [event for event in said if event["event"] != "tracked"]
    for n_delivered in range(len(lines)):
        known = {event.get("trial", "") for event in lines[:n_delivered]}
        # A run whose creation was not counted may not have been recorded either.
        kept = [e for e in said if e["event"] != "tracked" or (n_delivered and e["trial"] in known)]
        made.path.write_text("".join(f"{json.dumps(event)}\n" for event in kept))
        (made.folder / DELIVERED_FILE).write_text(json.dumps({"lines": n_delivered}))
        deliver(made, workspace)
        assert everything_in(workspace) == expected, n_delivered


def test_a_study_of_the_same_name_in_another_workspace_keeps_its_runs(
    made: HandMade, workspace: Path, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    deliver(ways_to_end(made), workspace)
    second = make_ledger(base=BASE, workspace=tmp_path / "other", begin=BEGIN + 1000)
    second.opened()
    second.asked("001")
    deliver(second, workspace)
    client, experiment = open_store(workspace)
    assert len(client.search_runs([experiment])) == 5 + 2
