import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapert.doctor.examine import CHECKS, examine
from adapert.doctor.findings import GB, Finding
from adapert.doctor.workspace import check_data, check_disk, check_store, check_studies
from adapert.study.engine.ledger import FORMAT
from adapert.tracking.store import DATABASE, name_store, tracking_uri

FIRST_LINE = json.dumps({"event": "study", "format": FORMAT, "name": "search"}) + "\n"


def assert_found(finding: Finding, state: str, *parts: str) -> None:
    missing = [part for part in parts if part not in finding.sentence]
    assert (finding.state, missing) == (state, []), finding.sentence


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def revision_of(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@pytest.fixture
def below_a_file(tmp_path: Path) -> Path:
    """A place where even root can make nothing."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "runs"


def test_a_store_that_is_missing_or_empty_will_be_made(tmp_path: Path) -> None:
    assert_found(check_store(tmp_path), "ok", "will be created")
    (tmp_path / DATABASE).touch()
    assert_found(check_store(tmp_path), "ok", "will be created")


def test_the_store_that_a_workspace_names_is_looked_at(tmp_path: Path, workspace: Path) -> None:
    (tmp_path / "runs").mkdir()
    name_store(tmp_path / "runs", tracking_uri(workspace))
    assert_found(check_store(tmp_path / "runs"), "ok", str(workspace / DATABASE))
    (workspace / DATABASE).write_text("no database" * 1000)
    assert_found(check_store(tmp_path / "runs"), "problem", str(workspace / DATABASE))


def test_a_server_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    name_store(tmp_path, "http://127.0.0.1:9")
    assert_found(check_store(tmp_path), "problem", "http://127.0.0.1:9 does not", "Start it, or")


def test_a_whole_store_is_ok_and_left_as_it_is(workspace: Path) -> None:
    before = (workspace / DATABASE).read_bytes()
    assert_found(check_store(workspace), "ok", str(workspace / DATABASE), "MLflow")
    assert (workspace / DATABASE).read_bytes() == before
    assert [path.name for path in workspace.iterdir()] == [DATABASE]


def test_an_older_schema_is_a_problem_that_an_upgrade_cures(workspace: Path) -> None:
    newest = revision_of(workspace / DATABASE)
    older = "451aebb31d03"
    execute(workspace / DATABASE, f"UPDATE alembic_version SET version_num = '{older}'")
    finding = check_store(workspace)
    assert_found(
        finding, "problem", newest, f"older {older}", f"mlflow db upgrade '{tracking_uri(workspace)}'"
    )
    assert revision_of(workspace / DATABASE) == older


def test_a_newer_schema_is_a_problem_that_no_upgrade_cures(workspace: Path) -> None:
    execute(workspace / DATABASE, "UPDATE alembic_version SET version_num = 'abcdef'")
    finding = check_store(workspace)
    assert_found(finding, "problem", "abcdef", "newer", "--workspace")
    assert "upgrade" not in finding.sentence


@pytest.mark.parametrize("statement", ["DROP TABLE alembic_version", "DELETE FROM alembic_version"])
def test_a_database_without_a_revision_is_a_warning(workspace: Path, statement: str) -> None:
    execute(workspace / DATABASE, statement)
    assert_found(check_store(workspace), "warning", "no schema revision")


def test_a_damaged_store_is_a_problem(workspace: Path) -> None:
    file = workspace / DATABASE
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert_found(check_store(workspace), "problem", "whole SQLite database", str(file), "backup")
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + b"\xff" * 40_000 + whole[middle + 40_000 :])
    assert_found(check_store(workspace), "problem", "whole SQLite database", str(file), "backup")
    file.write_text("no database at all " * 100)
    assert_found(check_store(workspace), "problem", "not a database")


def test_a_folder_in_the_stores_place_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / DATABASE).mkdir()
    assert_found(check_store(tmp_path), "problem", "read and write", "--workspace")


def test_a_locked_store_is_a_problem(workspace: Path) -> None:
    with closing(sqlite3.connect(workspace / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert_found(check_store(workspace), "problem", "locked", "--workspace")
        other.execute("ROLLBACK")
    assert check_store(workspace).state == "ok"


def test_the_disk_of_a_workspace_that_does_not_exist_yet_is_its_parents(tmp_path: Path) -> None:
    finding = check_disk(tmp_path / "a" / "b", free=100 * GB)
    assert_found(finding, "ok", "100.0 GB free")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_warning_and_then_a_problem(tmp_path: Path) -> None:
    assert_found(check_disk(tmp_path, free=3 * GB), "warning", "3.0 GB", "another disk")
    assert_found(check_disk(tmp_path, free=GB // 10), "problem", "0.1 GB", "another disk")


def test_a_workspace_where_nothing_can_be_made_is_a_problem(below_a_file: Path) -> None:
    assert_found(check_disk(below_a_file), "problem", "writable", str(below_a_file), "--workspace")
    assert check_store(below_a_file).state == "ok"
    assert check_studies(below_a_file).state == "ok"


def test_studies_are_counted_by_their_ledgers(tmp_path: Path) -> None:
    assert_found(check_studies(tmp_path), "ok", "none yet")
    for name, rest in (("search", ""), ("ablation", '{"event": "trial"}\n{"event": "rep')):
        (tmp_path / "studies" / name).mkdir(parents=True)
        (tmp_path / "studies" / name / "ledger.jsonl").write_text(FIRST_LINE + rest)
    (tmp_path / "studies" / ".beside").mkdir()
    (tmp_path / "studies" / "notes.txt").write_text("mine")
    assert_found(check_studies(tmp_path), "ok", "2 in")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b'{"event": "stu',
        b'{"event": "trial"}\n',
        b'{"event": "study", "format": 1}\n',
        b"[]\n",
        b"\xff\xfe\n",
    ],
)
def test_a_study_whose_ledger_does_not_begin_is_named(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "studies" / "torn").mkdir(parents=True)
    (tmp_path / "studies" / "whole").mkdir()
    (tmp_path / "studies" / "whole" / "ledger.jsonl").write_text(FIRST_LINE)
    if content is not None:
        (tmp_path / "studies" / "torn" / "ledger.jsonl").write_bytes(content)
    assert_found(check_studies(tmp_path), "problem", "1 of 2", "'torn'", "Move")


def test_data_are_checked_only_where_they_are_named() -> None:
    assert_found(check_data(None), "ok", "--data DIR")


def test_a_whole_data_set_shows_its_fingerprint(prepared: Path) -> None:
    assert_found(check_data(prepared), "ok", "fingerprint tiny", "12 genes", "train 8, validation 4")


@pytest.mark.parametrize("name", ["manifest.json", "train/delta.npy", "control_cells/values.npy"])
def test_a_truncated_data_set_is_a_problem(prepared: Path, tmp_path: Path, name: str) -> None:
    content = (prepared / name).read_bytes()
    (prepared / name).write_bytes(content[: len(content) // 2])
    [finding] = examine(prepared, tmp_path, {"data": CHECKS["data"]}).values()
    assert_found(finding, "problem", name.rsplit("/")[-1], "adapert prepare")


def test_a_damaged_test_split_stops_no_study(prepared: Path) -> None:
    (prepared / "test" / "delta.npy").unlink()
    assert_found(check_data(prepared), "warning", "adapert evaluate", "delta.npy")


def test_a_directory_that_is_no_data_set_is_a_problem(tmp_path: Path) -> None:
    [finding] = examine(tmp_path, tmp_path, {"data": CHECKS["data"]}).values()
    assert_found(finding, "problem", "manifest.json", "adapert prepare")
