"""Checks of store, disk, data set and studies."""

import os
import shlex
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from adapert.doctor.findings import GB, Finding, State, describe_size, ok, problem, warning
from adapert.errors import InputError, first_line, name_some
from adapert.files import parse_json
from adapert.records import EXPERIMENT
from adapert.study.engine.ledger import FORMAT, LEDGER_FILE
from adapert.versions import installed_version

LOW_DISK = 5 * GB

MIN_DISK = GB // 5

LOCK_SECONDS = 1.0
"""How long another process may hold the store's lock."""

MAX_LEDGER_LINE = 10_000_000
"""Bytes; a longer first line cannot be a ledger's, and is not read whole."""


def check_store(workspace: Path) -> Finding:
    """Check that the MLflow store is intact, writable, and has the schema of the installed MLflow."""
    from adapert.tracking.store import sqlite_file, tracking_uri

    address = tracking_uri(workspace)
    file = sqlite_file(address)
    if file is None:
        return _check_server(address)
    # SQLite takes an empty file for an empty database.
    if not file.exists() or file.stat().st_size == 0:
        return ok(f"'{file}' will be created")
    if not os.access(file, os.W_OK):
        return problem(_unusable(file, "this user may not write it"))
    try:
        revision = _read_revision(file)
    except sqlite3.Error as error:
        return problem(_explain_database_error(file, error))
    return _check_revision(file, address, revision)


def _check_server(address: str) -> Finding:
    from adapert.tracking.store import make_client

    try:
        make_client(address).get_experiment_by_name(EXPERIMENT)
    except InputError:
        raise
    except Exception as error:  # whatever a server or a database's driver raises
        return problem(
            f"The store that the workspace's first study named must answer, but {address} does not: "
            f"{first_line(error)} Start it, or give another --workspace."
        )
    return ok(f"{address} answers")


def _read_revision(file: Path) -> str | None:
    # Not mode=ro: SQLite must be free to roll back what a killed process left half written.
    address = f"{file.as_uri()}?mode=rw"
    with closing(
        sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")  # takes a writer's lock without writing
        connection.execute("ROLLBACK")
        [damage] = connection.execute("PRAGMA quick_check(1)").fetchone()
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _explain_database_error(file: Path, error: sqlite3.Error) -> str:
    reason = " ".join(str(error).split()).rstrip(".")
    kind = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")  # quick_check's finding has none
    if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            f"The store must be free to write, but another process kept '{file}' locked for {LOCK_SECONDS:g} "
            "s. Wait for that process or end it; on a network disk, give a --workspace on a local one."
        )
    if kind.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return (
            f"The store must be a whole SQLite database, but '{file}' is not: {reason}. Put a backup in its "
            "place; or move it away, and the next study makes a new one."
        )
    return _unusable(file, reason)


def _unusable(file: Path, reason: str) -> str:
    return (
        f"The store must be a file that this user may read and write, but '{file}' is not: {reason}. Change "
        "its permissions, or give another --workspace."
    )


def _check_revision(file: Path, address: str, revision: str | None) -> Finding:
    from adapert.tracking.store import known_revisions

    version = installed_version("mlflow")
    revisions = known_revisions()
    if revision == revisions[0]:
        return ok(f"'{file}', {describe_size(file.stat().st_size)}, of MLflow {version}'s schema")
    if revision is None:
        return warning(
            f"'{file}' should hold MLflow's tables, but it has no schema revision: it is another program's, "
            "or its creation was interrupted. If no study starts, move it away."
        )
    rule = f"The store's schema must be revision {revisions[0]}, that of MLflow {version}, but '{file}' has"
    if revision in revisions:
        cure = f"Copy the file as a backup, then run: mlflow db upgrade {shlex.quote(address)}"
        return problem(f"{rule} the older {revision}. {cure}")
    cure = "Give another --workspace, or the environment of the MLflow that wrote it."
    return problem(f"{rule} {revision}, which it does not know, so that a newer MLflow wrote it. {cure}")


def check_disk(workspace: Path, free: int | None = None) -> Finding:
    """Check that the workspace can be written, and that its disk has room.

    Args:
        workspace: May be missing; then its nearest parent is checked.
        free: Bytes; None is measured.
    """
    workspace = workspace.absolute()
    above = next(folder for folder in (workspace, *workspace.parents) if folder.exists())
    try:
        # Unnamed, so that nothing is left of it; a quota shows only when something is written.
        with tempfile.TemporaryFile(dir=above) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        return problem(
            f"The workspace must be writable, but '{workspace}' is not: '{above}' says '{error.strerror}'. "
            "Free some space, change its permissions, or give another --workspace."
        )
    free = shutil.disk_usage(above).free if free is None else free
    if free >= LOW_DISK:
        return ok(f"{describe_size(free)} free for '{workspace}'")
    state, word, least = (
        (State.PROBLEM, "must", MIN_DISK) if free < MIN_DISK else (State.WARNING, "should", LOW_DISK)
    )
    return Finding(
        state,
        f"The workspace's disk {word} have {describe_size(least)} free, but {describe_size(free)} are left "
        f"for '{workspace}'. Free some space, or give a --workspace on another disk.",
    )


def check_data(data: Path | None) -> Finding:
    """Read all of a prepared data set, first as a trial would; None skips the check."""
    from adapert.data.prepared import check_content, check_values, read_prepared
    from adapert.data.schema import SPLITS

    if data is None:
        return ok("not checked: give --data DIR")
    dataset = read_prepared(data)
    check_values(dataset)
    try:
        check_values(read_prepared(data, SPLITS))
    except InputError as error:
        return warning(f"Studies run, but 'adapert evaluate' would not. {error}")
    checked = "every file as written" if check_content(data) else "no checksums: of an earlier version"
    counts = ", ".join(f"{name} {len(split.table.perturbations):,}" for name, split in dataset.splits.items())
    return ok(
        f"fingerprint {dataset.fingerprint}, {dataset.n_genes:,} genes, perturbations: {counts}; {checked}"
    )


def check_studies(workspace: Path) -> Finding:
    """Check that every study's folder begins with a ledger that can be read."""
    studies = workspace.resolve() / "studies"
    if not studies.is_dir():
        return ok(f"none yet in '{workspace}'")
    folders = sorted(path for path in studies.iterdir() if path.is_dir() and not path.name.startswith("."))
    # The first line alone, however long a ledger is: `adapert status` reads all of one.
    unreadable = [folder.name for folder in folders if not _begins_ledger(folder / LEDGER_FILE)]
    if not unreadable:
        return ok(f"{len(folders)} in '{studies}'")
    found = f"{len(unreadable)} of {len(folders)} in '{studies}' do not: {name_some(unreadable)}"
    return problem(
        f"A study's folder must hold a {LEDGER_FILE} whose first line names a study of format "
        f"{FORMAT}, but {found}. Move them away, put a backup in their place, or use the "
        "adapert that wrote them."
    )


def _begins_ledger(file: Path) -> bool:
    try:
        with file.open("rb") as lines:
            first = parse_json(lines.readline(MAX_LEDGER_LINE))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and first.get("event") == "study" and first.get("format") == FORMAT
