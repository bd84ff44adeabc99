"""Read the artifacts of runs, in place or from a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from adapert.errors import InputError, first_line

if TYPE_CHECKING:
    from mlflow.entities import Run


@contextmanager
def downloaded(uri: str, tracking_uri: str) -> Iterator[Path]:
    """Give the path of a file or directory at an address that MLflow knows, while the block runs.

    Raises:
        InputError: It cannot be read.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with TemporaryDirectory() as folder:
        # Without a destination MLflow gives a local artifact's own path: no copy, no progress bar.
        destination = None if urlparse(uri).scheme in ("", "file") else folder
        try:
            path = Path(download_artifacts(artifact_uri=uri, dst_path=destination, tracking_uri=tracking_uri))
        except (MlflowException, OSError) as error:
            raise InputError(
                f"A run's artifacts must be readable, but '{uri}' is not: {first_line(error)} Put it back, "
                "or name another run."
            ) from error
        yield path


def read_text(run: "Run", tracking_uri: str, name: str) -> str:
    """Read a text artifact; empty where the run has none of this name."""
    try:
        with downloaded(f"{run.info.artifact_uri}/{name}", tracking_uri) as path:
            return path.read_text(encoding="utf-8")
    except InputError:
        return ""
