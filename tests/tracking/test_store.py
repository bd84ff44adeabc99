import contextlib
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType
from urllib.parse import unquote, urlparse

import pytest
from fixtures.exhaustive import few_fast
from fixtures.narrowed import of_kind

from adapert.errors import InputError
from adapert.process import settings_put_back
from adapert.records import EXPERIMENT
from adapert.tracking.read import open_client
from adapert.tracking.store import (
    ARTIFACTS,
    DATABASE,
    absolute_address,
    known_revisions,
    name_store,
    open_store,
    settle_artifacts,
    sqlite_address,
    sqlite_file,
    tracking_uri,
)


def test_the_store_s_address_is_absolute_wherever_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_file(tracking_uri(Path("my runs"))) == tmp_path / "my runs" / DATABASE


def test_opening_makes_database_and_experiment_with_absolute_artifacts(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / DATABASE).unlink()
    monkeypatch.chdir(workspace.parent)
    client, experiment_id = open_store(Path(workspace.name))
    experiment = client.get_experiment(experiment_id)
    assert (workspace / DATABASE).is_file()
    assert experiment.name == EXPERIMENT
    address = urlparse(experiment.artifact_location)
    assert address.scheme == "file"
    assert unquote(address.path) == str(workspace / "artifacts")


def test_opening_again_gives_the_same_experiment(workspace: Path) -> None:
    assert open_store(workspace)[1] == open_store(workspace)[1]


def test_a_database_that_was_deleted_while_it_was_open_is_made_again(workspace: Path) -> None:
    client, experiment = open_store(workspace)
    client.create_run(experiment)
    (workspace / DATABASE).unlink()
    client, experiment = open_store(workspace)
    written = client.create_run(experiment).info.run_id
    with contextlib.closing(sqlite3.connect(workspace / DATABASE)) as database:
        assert database.execute("SELECT run_uuid FROM runs").fetchall() == [(written,)]


def test_artifacts_land_in_the_workspace_whatever_the_current_directory(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, experiment_id = open_store(workspace)
    run_id = client.create_run(experiment_id).info.run_id
    file = tmp_path / "config.yaml"
    file.write_text("model: {}")
    monkeypatch.chdir("/")
    client.log_artifact(run_id, str(file))
    assert (workspace / "artifacts" / run_id / "artifacts" / "config.yaml").is_file()


# another store than the workspace's own


def test_a_named_store_is_that_of_the_workspace(tmp_path: Path) -> None:
    assert name_store(tmp_path / "runs", "http://server:5000")
    assert tracking_uri(tmp_path / "runs") == "http://server:5000"


def test_naming_the_same_store_again_changes_nothing(tmp_path: Path) -> None:
    name_store(tmp_path, "http://server:5000")
    assert not name_store(tmp_path, "http://server:5000")
    assert tracking_uri(tmp_path) == "http://server:5000"


def test_a_workspace_with_a_named_store_refuses_another(tmp_path: Path) -> None:
    name_store(tmp_path, "http://server:5000")
    with pytest.raises(InputError, match=r"has http://server:5000 and was given http://other:5000\. Give"):
        name_store(tmp_path, "http://other:5000")
    assert tracking_uri(tmp_path) == "http://server:5000"


def test_a_workspace_with_studies_in_its_own_database_refuses_another(workspace: Path) -> None:
    with pytest.raises(InputError, match=r"has sqlite:///.* and was given http://other:5000"):
        name_store(workspace, "http://other:5000")
    assert tracking_uri(workspace).startswith("sqlite:")


def test_two_workspaces_may_share_a_named_store(workspace: Path, tmp_path: Path) -> None:
    address = tracking_uri(workspace)
    for name in ("one", "two"):
        name_store(tmp_path / name, address)
    assert open_store(tmp_path / "one")[1] == open_store(tmp_path / "two")[1] == open_store(workspace)[1]


# paths that are no URLs


AWKWARD = ["a?b", "a#b", "a%b", "a%20b", "a b", "ü", "a'b", "a&b=c;d+e", "%3F?#'ü %"]


@pytest.fixture
def awkward(request: pytest.FixtureRequest, workspace: Path) -> Path:
    """A workspace of an awkward name, with an empty store."""
    return workspace.rename(workspace.parent / request.param)


def log_text(workspace: Path, text: str) -> str:
    client, experiment = open_store(workspace)
    run_id = str(client.create_run(experiment).info.run_id)
    client.log_text(run_id, text, "kept.txt")
    return run_id


def kept_text(workspace: Path, run_id: str) -> str:
    """As it lies on the disk below a workspace."""
    return (workspace / ARTIFACTS / run_id / "artifacts" / "kept.txt").read_text()


@pytest.mark.parametrize("awkward", AWKWARD, indirect=True)
def test_database_and_artifacts_lie_in_the_workspace_whatever_it_is_called(awkward: Path) -> None:
    run_id = log_text(awkward, "text")
    assert kept_text(awkward, run_id) == "text"
    with sqlite3.connect(awkward / DATABASE) as database:
        assert database.execute("SELECT run_uuid FROM runs").fetchall() == [(run_id,)]
    assert {path.name for path in awkward.parent.iterdir()} == {awkward.name}


@pytest.mark.parametrize("awkward", AWKWARD, indirect=True)
def test_mlflow_reads_an_artifact_back_whatever_its_workspace_is_called(awkward: Path) -> None:
    run_id = log_text(awkward, "text")
    client = open_client(tracking_uri(awkward))
    assert [file.path for file in client.list_artifacts(run_id)] == ["kept.txt"]
    assert Path(client.download_artifacts(run_id, "kept.txt")).read_text() == "text"


@pytest.mark.parametrize("name", AWKWARD)
def test_an_address_names_its_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / DATABASE
    assert sqlite_file(sqlite_address(file)) == file


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://server:5000",
        "postgresql:///name",
        "sqlite:no address",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////here/a.db",
        "sqlite+pysqlite:////here/a%20b.db",
        "sqlite:///file:a.db?uri=true",
    ],
)
def test_an_address_that_is_the_same_everywhere_is_left_as_it_is(address: str) -> None:
    assert absolute_address(address) == address


@pytest.mark.parametrize("folder", ["here", "50% of #1"])
def test_a_relative_path_of_a_database_becomes_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    assert sqlite_file(absolute_address("sqlite:///a.db")) == Path.cwd() / "a.db"


@pytest.mark.parametrize("address", ["http://server:5000", "postgresql://host/name", "sqlite://"])
def test_other_addresses_name_no_file(address: str) -> None:
    assert sqlite_file(address) is None


# workspaces that move


@pytest.mark.parametrize("name", few_fast(["moved", *AWKWARD], 4))
def test_the_artifacts_of_a_moved_workspace_are_found_and_written_below_it(
    workspace: Path, name: str
) -> None:
    run_id = log_text(workspace, "before")
    moved = workspace.rename(workspace.parent / f"to {name}")
    client, _ = open_store(moved)
    assert Path(client.download_artifacts(run_id, "kept.txt")).read_text() == "before"
    client.log_text(run_id, "after", "kept.txt")
    assert kept_text(moved, run_id) == "after"
    assert kept_text(moved, log_text(moved, "new")) == "new"
    assert not workspace.exists()


def test_a_moved_workspace_is_known_by_whoever_only_reads_it(workspace: Path) -> None:
    run_id = log_text(workspace, "before")
    moved = workspace.rename(workspace.parent / "moved")
    client = open_client(tracking_uri(moved))
    assert Path(client.download_artifacts(run_id, "kept.txt")).read_text() == "before"


def test_a_copied_workspace_writes_nothing_into_the_original_nor_the_other_way_round(workspace: Path) -> None:
    run_id = log_text(workspace, "original")
    copy = workspace.parent / "copy"
    shutil.copytree(workspace, copy)
    for place in (copy, workspace, copy, workspace):
        client, _ = open_store(place)
        client.log_text(run_id, place.name, "kept.txt")
        assert kept_text(place, run_id) == place.name
    assert (kept_text(copy, run_id), kept_text(workspace, run_id)) == ("copy", workspace.name)


def test_logged_models_move_with_their_workspace(workspace: Path) -> None:
    client, experiment = open_store(workspace)
    model = client.create_logged_model(experiment, name="model")
    moved = workspace.rename(workspace.parent / "moved")
    location = open_store(moved)[0].get_logged_model(model.model_id).artifact_location
    assert unquote(urlparse(location).path).startswith(f"{moved}/{ARTIFACTS}/")


def test_a_workspace_of_a_similar_name_is_another(workspace: Path) -> None:
    """An address that only begins with the same letters is not below the old place."""
    log_text(workspace, "text")
    with sqlite3.connect(workspace / DATABASE) as database:
        database.execute(
            "UPDATE runs SET artifact_uri = (SELECT artifact_location || '_2/run' FROM experiments "
            "WHERE name = ?)",
            (EXPERIMENT,),
        )
    moved = workspace.rename(workspace.parent / "moved")
    settle_artifacts(tracking_uri(moved))
    with sqlite3.connect(moved / DATABASE) as database:
        ((kept,),) = database.execute("SELECT artifact_uri FROM runs").fetchall()
    assert unquote(urlparse(kept).path) == f"{workspace}/{ARTIFACTS}_2/run"


def test_a_process_killed_while_a_store_is_told_its_new_place_leaves_all_or_nothing(workspace: Path) -> None:
    run_id = log_text(workspace, "before")
    moved = workspace.rename(workspace.parent / "moved")
    killed = """
import os, sqlite3, sys
from adapert.tracking import store
store.ADDRESSED = (*store.ADDRESSED[:1], ("runs", "killed"))
class Database(sqlite3.Connection):
    def execute(self, query, *more):
        if "killed" in query:
            os.kill(os.getpid(), 9)
        return super().execute(query, *more)
connect = sqlite3.connect
store.sqlite3.connect = lambda *given, **named: connect(*given, **named, factory=Database)
store.settle_artifacts(sys.argv[1])
"""
    address = tracking_uri(moved)
    assert subprocess.run([sys.executable, "-c", killed, address]).returncode == -9
    client = open_client(address)
    assert Path(client.download_artifacts(run_id, "kept.txt")).read_text() == "before"


def test_a_store_that_lies_where_it_lay_is_not_written(workspace: Path) -> None:
    log_text(workspace, "text")
    (workspace / DATABASE).chmod(0o400)
    before = (workspace / DATABASE).stat().st_mtime_ns
    settle_artifacts(tracking_uri(workspace))
    assert (workspace / DATABASE).stat().st_mtime_ns == before


def test_a_store_with_artifacts_elsewhere_keeps_them_there(workspace: Path, tmp_path: Path) -> None:
    """One that adapert did not make, such as a server's with its own artifact root."""
    (tmp_path / "elsewhere").mkdir()
    client = open_client(tracking_uri(workspace))
    experiment = client.create_experiment(EXPERIMENT, f"file://{tmp_path}/elsewhere")
    run_id = str(client.create_run(experiment).info.run_id)
    open_store(workspace)[0].log_text(run_id, "text", "kept.txt")
    assert (tmp_path / "elsewhere" / run_id / "artifacts" / "kept.txt").read_text() == "text"


def test_a_locked_store_that_was_moved_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_text(workspace, "text")
    moved = workspace.rename(workspace.parent / "moved")
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    monkeypatch.setattr("adapert.tracking.store.sqlite3.connect", partial(connect, timeout=0.01))
    with connect(moved / DATABASE, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match=r"that was moved must be writable .* locked\. Change"):
            settle_artifacts(tracking_uri(moved))
        other.execute("ROLLBACK")
    settle_artifacts(tracking_uri(moved))


def test_pages_open_in_the_view_of_trained_models(workspace: Path) -> None:
    client, experiment = open_store(workspace)
    assert client.get_experiment(experiment).tags["mlflow.experimentKind"] == "custom_model_development"


def test_an_experiment_that_was_made_without_the_view_gets_it(workspace: Path) -> None:
    client = open_client(tracking_uri(workspace))
    client.create_experiment(EXPERIMENT)
    client, experiment = open_store(workspace)
    assert "mlflow.experimentKind" in client.get_experiment(experiment).tags


# stores of another MLflow


@pytest.fixture(
    params=[open_store, lambda workspace: open_client(tracking_uri(workspace))], ids=["write", "read"]
)
def opening(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return of_kind(FunctionType, request.param)


def set_revision(database: Path, revision: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_a_store_of_a_newer_mlflow_is_not_told_to_be_upgraded(
    workspace: Path, opening: Callable[..., object]
) -> None:
    set_revision(workspace / DATABASE, "ffffffffffff")
    with pytest.raises(InputError, match=r"is of a newer one .*Use the environment of the MLflow that wrote"):
        opening(workspace)


def test_a_store_of_an_older_mlflow_is_told_the_command_that_upgrades_it(
    workspace: Path, opening: Callable[..., object]
) -> None:
    set_revision(workspace / DATABASE, known_revisions()[3])
    command = re.escape(f"mlflow db upgrade {shlex.quote(tracking_uri(workspace))}")
    with pytest.raises(InputError, match=f"is of an older one .*Run: {command} "):
        opening(workspace)


def test_mlflow_tells_its_makers_nothing_unless_the_user_has_it_so(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    with settings_put_back():
        open_store(workspace)
        assert MLFLOW_DISABLE_TELEMETRY.get() is True
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    with settings_put_back():
        open_store(workspace)
        assert MLFLOW_DISABLE_TELEMETRY.get() is False
