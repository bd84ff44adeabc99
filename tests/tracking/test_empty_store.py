import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from adapert.tracking import empty_store
from adapert.tracking.empty_store import kept_database
from adapert.tracking.store import DATABASE, open_store, quiet_mlflow, tracking_uri


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Place of the kept database, in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return kept_database()


@pytest.fixture
def filled(cache: Path, empty_database: Path) -> Path:
    """The same, with a database."""
    empty_store.keep_empty_database(empty_database)
    return cache


def content_of(file: Path) -> dict[str, Any]:
    """Every table and index as it is defined, and every row, without times and ids of experiments."""
    with closing(sqlite3.connect(file)) as database:
        schema = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        tables = [name for name, sql in schema if sql and sql.startswith("CREATE TABLE")]
        rows = {name: database.execute(f"SELECT COUNT(*) FROM {name}").fetchone() for name in tables}
        revision = database.execute("SELECT version_num FROM alembic_version").fetchall()
        columns = "name, artifact_location, lifecycle_stage"
        experiments = database.execute(f"SELECT {columns} FROM experiments ORDER BY name").fetchall()
    return {"schema": schema, "rows": rows, "revision": revision, "experiments": experiments}


@pytest.mark.slow
def test_a_store_laid_from_the_kept_database_is_as_one_that_mlflow_made(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = tmp_path / "runs"
    open_store(workspace)
    made = content_of(workspace / DATABASE)
    assert cache.is_file()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    laid = tmp_path / "laid"
    initialised: list[object] = []
    monkeypatch.setattr("mlflow.store.db.utils._initialize_tables", initialised.append)
    open_store(laid)
    assert initialised == []
    found = content_of(laid / DATABASE)
    assert [name for name, *_ in made["experiments"]] == ["Default", "adapert"]
    experiments = {each: content.pop("experiments") for each, content in (("made", made), ("laid", found))}
    assert found == made
    moved = str(experiments["made"]).replace(f"{tmp_path}/mlruns", f"{tmp_path}/elsewhere/mlruns")
    assert str(experiments["laid"]) == moved.replace(f"{workspace}/", f"{laid}/")


def test_a_database_of_other_versions_is_not_laid(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(empty_store, "installed_version", lambda maker: "99")
    assert kept_database() != filled
    assert not kept_database().exists()


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_a_damaged_database_is_not_laid(filled: Path, tmp_path: Path, content: bytes | None) -> None:
    whole = filled.read_bytes()
    filled.write_bytes(whole[: len(whole) // 2] if content is None else content)
    file = tmp_path / "runs" / DATABASE
    empty_store.lay_empty_database(file)
    assert not file.exists()


def test_a_damaged_database_is_replaced(filled: Path, empty_database: Path) -> None:
    whole = content_of(filled)
    filled.write_bytes(b"no database")
    empty_store.keep_empty_database(empty_database)
    assert content_of(filled) == whole


def test_what_is_kept_has_no_row_of_its_origin(filled: Path, empty_database: Path) -> None:
    origin, kept = content_of(empty_database), content_of(filled)
    assert origin["schema"] == kept["schema"]
    assert kept["experiments"] == []
    assert {name for name, (n,) in kept["rows"].items() if n} == {
        name for name, (n,) in origin["rows"].items() if n and name != "experiments"
    }


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("no directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    empty_store.keep_empty_database(empty_database)
    empty_store.lay_empty_database(tmp_path / "runs" / DATABASE)
    assert not (tmp_path / "runs").exists()


def test_mlflow_makes_its_default_experiment_again(filled: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "runs"
    empty_store.lay_empty_database(workspace / DATABASE)
    quiet_mlflow()
    found = MlflowClient(tracking_uri=tracking_uri(workspace)).search_experiments()
    assert [(each.experiment_id, each.name) for each in found] == [("0", "Default")]
