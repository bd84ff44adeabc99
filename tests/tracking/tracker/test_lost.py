import math
import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from fixtures.exhaustive import few_fast
from fixtures.ledger import HandMade

from adapert.records import (
    OBJECTIVE,
    Tag,
)
from adapert.study.engine.folders import copy_findings
from adapert.tracking.expected import NOTE
from adapert.tracking.store import ARTIFACTS, DATABASE, open_store

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
from fixtures.delivered import (
    Breaking,
    deliver,
    everything_in,
    live,
    runs_of,
    tracking,
    ways_to_end,
    without_ids,
)


def test_a_run_that_somebody_deleted_meanwhile_is_taken_back_with_all_it_lacks(
    made: HandMade, workspace: Path
) -> None:
    with tracking(made, partial(open_store, workspace)) as tracker:
        made.opened()
        made.asked("001")
        live(made, tracker, n_seen=1)
        while not runs_of(workspace).get("001"):
            pass
        n_seen = len(made.events) - len(made.state.run_ids)
        client, _ = open_store(workspace)
        client.delete_run(runs_of(workspace)["001"].info.run_id)
        made.reported("001", 1, 0.5)
        made.ended("001")
        made.closed()
        live(made, tracker, n_seen=n_seen)
        assert tracker.close() == 0
    found = everything_in(workspace)["001"]
    assert (found["status"], tracker.refused) == ("FINISHED", [])
    assert [value for *_, value in found["history"][OBJECTIVE]] == [0.5]


def lose_one_run(client: "MlflowClient", workspace: Path) -> None:
    client.delete_run(runs_of(workspace)["001"].info.run_id)


def lose_all_runs(client: "MlflowClient", workspace: Path) -> None:
    for run in runs_of(workspace).values():
        client.delete_run(run.info.run_id)


def lose_runs_for_good(client: "MlflowClient", workspace: Path) -> None:
    with sqlite3.connect(workspace / DATABASE) as database:
        tables = ["latest_metrics", "metrics", "params", "tags", "inputs", "runs"]
        for table in tables:
            database.execute(f"DELETE FROM {table}")


def lose_the_database(client: "MlflowClient", workspace: Path) -> None:
    (workspace / DATABASE).unlink()


def lose_the_artifacts(client: "MlflowClient", workspace: Path) -> None:
    shutil.rmtree(workspace / ARTIFACTS)


def lose_a_tag(client: "MlflowClient", workspace: Path) -> None:
    client.set_tag(runs_of(workspace)["001"].info.run_id, Tag.STATUS, "running")


def lose_an_end(client: "MlflowClient", workspace: Path) -> None:
    client.update_run(runs_of(workspace)[""].info.run_id, status="RUNNING")


def lose_metrics(client: "MlflowClient", workspace: Path) -> None:
    with sqlite3.connect(workspace / DATABASE) as database:
        for table in ("metrics", "latest_metrics"):
            database.execute(f"DELETE FROM {table} WHERE key = ?", (OBJECTIVE,))


def lose_params(client: "MlflowClient", workspace: Path) -> None:
    with sqlite3.connect(workspace / DATABASE) as database:
        database.execute("DELETE FROM params")


LOSSES = [
    lose_one_run,
    lose_all_runs,
    lose_runs_for_good,
    lose_the_database,
    lose_the_artifacts,
    lose_a_tag,
    lose_an_end,
    lose_metrics,
    lose_params,
]


@pytest.mark.parametrize("lose", few_fast(LOSSES, 3))
def test_whatever_a_store_lost_is_there_again(
    made: HandMade, workspace: Path, lose: "Callable[[MlflowClient, Path], None]"
) -> None:
    deliver(ways_to_end(made), workspace)
    expected = without_ids(everything_in(workspace))
    lose(open_store(workspace)[0], workspace)
    deliver(made, workspace)
    assert without_ids(everything_in(workspace)) == expected
    parent = runs_of(workspace)[""].info.run_id
    children = [run for trial, run in runs_of(workspace).items() if trial]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent}


@pytest.mark.parametrize("lose", [lose_the_database, lose_an_end])
def test_findings_begin_the_description_of_the_studys_run_again(
    made: HandMade, workspace: Path, lose: "Callable[[MlflowClient, Path], None]"
) -> None:
    deliver(ways_to_end(made), workspace)
    before = runs_of(workspace)[""].data.tags[NOTE]
    copy_findings(made.folder, "Findings of today:\n\n- It is so.")
    deliver(made, workspace)
    note = runs_of(workspace)[""].data.tags[NOTE]
    assert note.startswith("Findings of today:\n\n- It is so.\n\n---\n\n")
    assert note.endswith(before)
    lose(open_store(workspace)[0], workspace)
    deliver(made, workspace)
    assert runs_of(workspace)[""].data.tags[NOTE] == note


def test_a_trial_s_description_has_no_findings_of_its_study(made: HandMade, workspace: Path) -> None:
    copy_findings(made.folder, "Findings of today:\n\n- It is so.")
    deliver(ways_to_end(made), workspace)
    assert (
        runs_of(workspace)["002"].data.tags[NOTE].startswith("Stopped after 1 epoch: others had reached more")
    )


def test_an_older_backup_of_the_database_is_brought_up_to_date(
    made: HandMade, workspace: Path, tmp_path: Path
) -> None:
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.1)
    deliver(made, workspace)
    shutil.copy(workspace / DATABASE, tmp_path / "backup.db")
    made.reported("001", 2, 0.2)
    made.ended("001")
    made.asked("002")
    made.closed()
    deliver(made, workspace)
    expected = without_ids(everything_in(workspace))
    shutil.copy(tmp_path / "backup.db", workspace / DATABASE)
    deliver(made, workspace)
    assert without_ids(everything_in(workspace)) == expected


def test_a_store_that_has_all_is_written_nothing(made: HandMade, workspace: Path) -> None:
    deliver(ways_to_end(made), workspace)
    n_tracked = len(made.events)
    deliver_without_writing(made, workspace)
    assert len(made.events) == n_tracked


def test_a_store_that_has_an_infinite_metric_is_written_nothing(made: HandMade, workspace: Path) -> None:
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.5, loss_total=math.inf, pds=-math.inf)
    made.ended("001")
    made.closed()
    deliver(made, workspace)
    deliver_without_writing(made, workspace)


def deliver_without_writing(made: HandMade, workspace: Path) -> None:
    client, experiment = open_store(workspace)

    def refuse() -> NoReturn:
        raise AssertionError("a write")

    deliver(made, workspace, lambda: (Breaking(client, lambda: None, refuse), experiment))
