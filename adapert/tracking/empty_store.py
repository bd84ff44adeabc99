"""An empty MLflow database, kept for the next workspace: MLflow's migrations to its schema take seconds.

It is in the user's cache directory, under the versions of what made it.
"""

import logging
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from adapert.errors import InputError
from adapert.files import whole_file
from adapert.versions import installed_version

_LOGGER = logging.getLogger(__name__)

MAKERS = ("mlflow", "alembic", "sqlalchemy")
"""Packages whose versions make the schema."""


def kept_database() -> Path:
    """Where the empty database of the installed versions is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    makers = "_".join(f"{maker}-{installed_version(maker)}" for maker in MAKERS)
    return Path(cache) / "adapert" / f"{makers}.db"


def lay_empty_database(file: Path) -> None:
    """Copy the kept database to where a store is to be; without a good one MLflow makes its own."""
    with suppress(OSError, InputError):
        if _is_whole(kept := kept_database()):
            with whole_file(file) as beside:
                shutil.copyfile(kept, beside)


def keep_empty_database(file: Path) -> None:
    """Keep a copy of a database that MLflow has just made, unless there is one."""
    try:
        kept = kept_database()
        if _is_whole(kept):
            return
        with whole_file(kept) as beside, closing(sqlite3.connect(beside)) as copy:
            with closing(sqlite3.connect(file)) as made:
                made.backup(copy)
            # MLflow makes its default experiment again, where it is missing: with the place of its artifacts.
            copy.execute("DELETE FROM experiments")
            copy.commit()
    except (OSError, InputError, sqlite3.Error, RuntimeError) as error:  # no home directory, or a full disk
        _LOGGER.debug(f"The next workspace's database is made from nothing: {error}")


def _is_whole(kept: Path) -> bool:
    if not kept.is_file() or not kept.stat().st_size:  # an empty file is a database to SQLite
        return False
    try:
        with closing(sqlite3.connect(kept)) as database:
            return bool(database.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.Error:
        return False
