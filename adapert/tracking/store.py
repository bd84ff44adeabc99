"""The MLflow store of a workspace: SQLite with absolute paths, made once, by the driver."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from adapert.records import EXPERIMENT

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"


def tracking_uri(workspace: Path) -> str:
    """Address of a workspace's store; absolute, since workers may change directory."""
    return f"sqlite:///{workspace.resolve() / DATABASE}"


def open_store(workspace: Path) -> tuple["MlflowClient", str]:
    """Open a workspace's store, creating database and experiment where they are missing.

    Returns:
        The client and the experiment's id.
    """
    from mlflow.tracking import MlflowClient

    quiet_mlflow()
    workspace.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=tracking_uri(workspace))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return client, str(experiment.experiment_id)
    artifacts = "file://" + quote(str(workspace.resolve() / ARTIFACTS))
    return client, str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def quiet_mlflow() -> None:
    """Keep MLflow's and its database migrations' notices out of the user's terminal.

    To be called after MLflow's import, which sets the levels anew.
    """
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
