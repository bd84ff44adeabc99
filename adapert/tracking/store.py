"""The MLflow store of a workspace: SQLite with absolute paths, made once, by the driver; or a server.

MLflow writes absolute artifact addresses into its database. The artifacts of a SQLite store are next to the
database, so the addresses of a store that was moved or copied are updated when it is next opened.
"""

import logging
import re
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlparse

from filelock import FileLock

from adapert.errors import InputError
from adapert.files import write_whole
from adapert.process import NO_TELEMETRY, default_environment, log_levels, set_until_block_ends
from adapert.records import EXPERIMENT, Tag
from adapert.tracking.empty_store import keep_empty_database, lay_empty_database
from adapert.versions import installed_version

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
ADDRESS_FILE = "tracking_uri"

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Without it MLflow 3.17 may open its pages for agents in place of the run table."""

ADDRESSED = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns in which MLflow keeps addresses of artifacts."""


def tracking_uri(workspace: Path) -> str:
    """Address of a workspace's store: SQLite in it, or the one that its first study named.

    Absolute, since workers may change directory.
    """
    named = workspace / ADDRESS_FILE
    return (
        named.read_text(encoding="utf-8").strip()
        if named.is_file()
        else sqlite_address(workspace.resolve() / DATABASE)
    )


def sqlite_address(file: Path) -> str:
    """Address of a SQLite database; a path that is no URL is quoted."""
    if not set(str(file)) & set("?#%"):
        return f"sqlite:///{file}"
    # MLflow makes a folder of the quoted path behind "sqlite:///", but not where the driver is named.
    return f"sqlite+pysqlite:///{quote(str(file))}"


def sqlite_file(address: str) -> Path | None:
    """Path of the SQLite database that an address names; None where it names something else."""
    if not address.startswith(("sqlite:", "sqlite+")):
        return None
    from sqlalchemy.engine import make_url

    database = make_url(address).database
    return Path(database).absolute() if database else None


def absolute_address(address: str) -> str:
    """Name a SQLite database of a relative path by its whole one, so that it is found from any directory.

    Any other address is left as it is, and so is one with options.
    """
    _, _, database = address.partition(":///")
    if not database or database.startswith(("/", ":memory:")) or "?" in database:
        return address
    file = sqlite_file(address)
    return sqlite_address(file) if file else address


def has_store(workspace: Path) -> bool:
    """Whether a workspace has a store, or names another one."""
    return (workspace / ADDRESS_FILE).is_file() or (workspace / DATABASE).is_file()


def name_store(workspace: Path, address: str) -> bool:
    """Track a workspace's studies in another store, such as an MLflow server.

    Returns:
        Whether the workspace had no store.

    Raises:
        InputError: The workspace has another store: its studies would be scattered.
    """
    is_new = not has_store(workspace)
    if not is_new and tracking_uri(workspace) != address:
        raise InputError(
            f"A workspace has one tracking store, but '{workspace}' has {tracking_uri(workspace)} and was "
            f"given {address}. Give another --workspace, or leave --tracking-uri out."
        )
    write_whole(workspace / ADDRESS_FILE, f"{address}\n")
    return is_new


def open_store(workspace: Path) -> tuple["MlflowClient", str]:
    """Open a workspace's store, creating database and experiment where they are missing.

    Returns:
        The client and the experiment's id.

    Raises:
        InputError: The store has the schema of another MLflow.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    address = tracking_uri(workspace)
    # Two processes that create a SQLite database at once damage it for good.
    with FileLock(workspace / ".store.lock"):
        new_file = _missing_file(address)
        if new_file:
            lay_empty_database(new_file)
        client = make_client(address)
        if new_file:
            # A client that this process had before is still connected to the file that was deleted.
            client._tracking_client.store.engine.dispose()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if new_file:
            keep_empty_database(new_file)
        if experiment is None:
            is_server = address.startswith(("http://", "https://"))  # which knows where its artifacts are
            folder = _artifact_folder(sqlite_file(address) or workspace.resolve() / DATABASE)
            if not is_server:
                folder.mkdir(exist_ok=True)
            location = None if is_server else _file_address(folder)
            experiment_id = client.create_experiment(EXPERIMENT, location, tags=EXPERIMENT_TAGS)
        else:
            experiment_id = experiment.experiment_id
            for name, value in EXPERIMENT_TAGS.items():
                if name not in experiment.tags:
                    client.set_experiment_tag(experiment_id, name, value)
    return client, str(experiment_id)


def _missing_file(address: str) -> Path | None:
    """The SQLite database of an address that is yet to be made."""
    file = sqlite_file(address)
    return file if file and not file.exists() else None


def study_artifacts(address: str, study: str) -> Path | None:
    """Find the artifacts of a study's own run, the last of several, without MLflow's two seconds of import.

    Args:
        address: Address of the store.
        study: Name of a study.

    Returns:
        Their folder; None where the store is no SQLite database, has no such run, or keeps its artifacts
        elsewhere: MLflow is to be asked.

    Raises:
        InputError: As `settle_artifacts`.
    """
    file = sqlite_file(address)
    if file is None or not file.is_file():
        return None
    settle_artifacts(address)
    query = """
        SELECT runs.artifact_uri FROM runs
        JOIN experiments ON experiments.experiment_id = runs.experiment_id AND experiments.name = ?
        JOIN tags AS kind ON kind.run_uuid = runs.run_uuid AND kind.key = ? AND kind.value = 'study'
        JOIN tags AS study ON study.run_uuid = runs.run_uuid AND study.key = ? AND study.value = ?
        WHERE runs.lifecycle_stage = 'active' ORDER BY runs.start_time DESC LIMIT 1
    """
    try:
        with closing(sqlite3.connect(file)) as database:
            row = database.execute(query, (EXPERIMENT, Tag.KIND, Tag.STUDY, study)).fetchone()
    except sqlite3.Error:  # MLflow says what is wrong with it
        return None
    place = urlparse(row[0] if row else "")
    return Path(unquote(place.path)) if place.scheme == "file" else None


def settle_artifacts(address: str) -> None:
    """Update the artifact addresses of a SQLite store that was moved or copied, in one transaction.

    Every other store is left as it is.

    Raises:
        InputError: It was moved and cannot be written: its artifacts would go to the old place.
    """
    file = sqlite_file(address)
    if file is None or not file.is_file() or not file.stat().st_size:
        return
    if service := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        # MLflow caches where a run's artifacts are by the run's id, which a copied store shares.
        service._artifact_repos_cache.clear()
    folder = _artifact_folder(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        try:
            is_moved = _is_moved(database, folder)
        except sqlite3.Error:  # damaged or no database at all: MLflow says so to whoever uses it
            return
        try:
            if is_moved:
                _readdress(database, folder)
        except sqlite3.Error as error:
            raise InputError(
                f"A workspace that was moved must be writable when its MLflow store is next opened, but "
                f"'{file}' is not: {error}. Change its permissions, or wait for the process that uses it."
            ) from error


def _is_moved(database: sqlite3.Connection, folder: Path) -> bool:
    location = _location(database)
    if location == _file_address(folder) or urlparse(location).scheme not in ("", "file"):
        return False
    # A store whose artifacts somebody put elsewhere on purpose has none next to it.
    before = Path(unquote(urlparse(location).path))
    return bool(location) and (folder.is_dir() or not before.is_dir())


def _location(database: sqlite3.Connection) -> str:
    """Where the store's experiment has its artifacts; empty where there is no experiment yet."""
    if "experiments" not in _tables(database):
        return ""
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    row = database.execute(query, (EXPERIMENT,)).fetchone()
    return str(row[0]) if row and row[0] else ""


def _readdress(database: sqlite3.Connection, folder: Path) -> None:
    """Move every address below the old place of the artifacts to their folder."""
    database.execute("BEGIN IMMEDIATE")
    try:
        before, now = _location(database), _file_address(folder)  # another process may have been faster
        for table, column in ADDRESSED:
            if table in _tables(database):
                database.execute(
                    f"UPDATE {table} SET {column} = :now || substr({column}, length(:before) + 1) "
                    f"WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'",
                    {"now": now, "before": before},
                )
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _artifact_folder(file: Path) -> Path:
    return file.resolve().parent / ARTIFACTS


def _file_address(folder: Path) -> str:
    return "file://" + quote(str(folder))


def make_client(address: str) -> "MlflowClient":
    """Make a client of a store that exists, or that MLflow is to make.

    Raises:
        InputError: The store has the schema of another MLflow.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    quiet_mlflow()
    settle_artifacts(address)
    try:
        return MlflowClient(tracking_uri=address)
    except MlflowException as error:
        found = re.search(r"out-of-date database schema \(found version (\w+)", str(error))
        if not found:
            raise
        # MLflow itself says "upgrade" even where the store is the newer one.
        is_older = found[1] in known_revisions()
        cure = (
            f"Run: mlflow db upgrade {shlex.quote(address)} (after a backup of the database)."
            if is_older
            else "Use the environment of the MLflow that wrote it, or give another --workspace."
        )
        raise InputError(
            f"A store must have the schema of MLflow {installed_version('mlflow')}, but {address} is of "
            f"{'an older' if is_older else 'a newer'} one (revision {found[1]}). {cure}"
        ) from error


def known_revisions() -> list[str]:
    """Schema revisions that the installed MLflow knows, newest first."""
    from alembic.script import ScriptDirectory

    package = util.find_spec("mlflow")
    assert package is not None
    assert package.origin is not None
    scripts = ScriptDirectory(str(Path(package.origin).parent / "store" / "db_migrations"))
    return [script.revision for script in scripts.walk_revisions()]


def quiet_mlflow() -> None:
    """Keep MLflow's and its database migrations' notices out of the user's terminal.

    To be called after MLflow's import, which sets levels of its own.
    """
    set_until_block_ends(_quiet)


@contextmanager
def _quiet() -> Iterator[None]:
    # The writer tries again by itself; MLflow's seven tries of two minutes would hold a study's end up.
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    levels = {"alembic": logging.WARNING, "mlflow": logging.WARNING}
    with log_levels(levels), default_environment(patience | NO_TELEMETRY):
        yield
