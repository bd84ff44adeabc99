"""The MLflow store of a workspace: SQLite with absolute paths, made once, by the driver; or a server."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from filelock import FileLock

from adapert.errors import InputError
from adapert.files import write_whole
from adapert.records import EXPERIMENT

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
ADDRESS_FILE = "tracking_uri"


def tracking_uri(workspace: Path) -> str:
    """Address of a workspace's store: SQLite in it, or the one that its first study named.

    Absolute, since workers may change directory.
    """
    named = workspace / ADDRESS_FILE
    return named.read_text().strip() if named.is_file() else f"sqlite:///{workspace.resolve() / DATABASE}"


def has_store(workspace: Path) -> bool:
    """Whether a workspace has a store, or names another one."""
    return (workspace / ADDRESS_FILE).is_file() or (workspace / DATABASE).is_file()


def name_store(workspace: Path, address: str) -> bool:
    """Let a workspace's studies go to another store, such as an MLflow server.

    Args:
        workspace: Without a store yet, or with this one.
        address: ``"http://..."``, ``"postgresql://..."`` or another that MLflow takes.

    Returns:
        Whether the workspace had none.

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
    """
    from mlflow.tracking import MlflowClient

    quiet_mlflow()
    workspace.mkdir(parents=True, exist_ok=True)
    address = tracking_uri(workspace)
    # Two processes that create a SQLite database at once damage it for good.
    with FileLock(workspace / ".store.lock"):
        client = MlflowClient(tracking_uri=address)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return client, str(experiment.experiment_id)
        is_server = address.startswith(("http://", "https://"))  # which knows where its artifacts lie
        artifacts = None if is_server else "file://" + quote(str(workspace.resolve() / ARTIFACTS))
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def quiet_mlflow() -> None:
    """Keep MLflow's and its database migrations' notices out of the user's terminal.

    To be called after MLflow's import, which sets the levels anew.
    """
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The writer tries again by itself; MLflow's seven tries of two minutes would hold a study's end up.
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}.items():
        os.environ.setdefault(name, value)
