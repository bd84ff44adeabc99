"""Find the runs of studies and of their trials in a store, and read their artifacts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from adapert.errors import InputError, first_line, name_some, nearest
from adapert.records import EXPERIMENT, Tag
from adapert.tracking.store import make_client, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

PAGE_SIZE = 500
"""Runs that are asked for at once."""


def trial_runs(tracking_uri: str, study: str) -> list["Run"]:
    """Find the child runs of a study, oldest first; none where there is no such study.

    Raises:
        InputError: No such store.
    """
    return list(_search(open_client(tracking_uri), trials_of(study)))


def has_trials(tracking_uri: str, study: str) -> bool:
    """Whether a store has a trial of a study of this name.

    Raises:
        InputError: The store cannot be read.
    """
    return next(_search(open_client(tracking_uri), trials_of(study)), None) is not None


def study_runs(tracking_uri: str, study: str) -> list["Run"]:
    """Find a study's own runs, one a launch, oldest first.

    Raises:
        InputError: No such store or study.
    """
    runs = _runs_of_studies(open_client(tracking_uri))
    if study not in runs:
        existing = f"The store has {name_some(sorted(runs))}." if runs else "The store has no study yet."
        raise InputError(f"There is no study '{study}'.{nearest(study, runs)} {existing}")
    return runs[study]


def study_run(tracking_uri: str, study: str) -> "Run":
    """Find a study's own run; the last of several launches.

    Raises:
        InputError: No such store or study.
    """
    return study_runs(tracking_uri, study)[-1]


def tracked_names(tracking_uri: str) -> list[str]:
    """Name the studies of a store.

    Raises:
        InputError: No such store, or one that cannot be read.
    """
    return sorted(_runs_of_studies(open_client(tracking_uri)))


def find_run(tracking_uri: str, run_id: str) -> "Run":
    """Find a run by MLflow's id.

    Raises:
        InputError: No such run, or a store that cannot be read.
    """
    from mlflow.exceptions import MlflowException

    with reading_store():
        try:
            return open_client(tracking_uri).get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise InputError(
                f"The store has no run '{run_id}'. Give a run's id as MLflow shows it, or STUDY/TRIAL, such "
                "as search/007; 'adapert ls' lists the studies."
            ) from error


@contextmanager
def reading_store() -> Iterator[None]:
    """Turn MLflow's errors in the block into one sentence.

    Raises:
        InputError: The store cannot be read.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise InputError(
            "A study that the workspace has no ledger of is read from MLflow, but its store cannot be read: "
            f"{first_line(error)} Start its server, or give another --workspace."
        ) from error


def find_studies(tracking_uri: str, config_digest: str) -> list[str]:
    """Name the studies that tried a config, the one with the oldest trial of it first.

    Returns:
        Names; empty where no study did.

    Raises:
        InputError: No such store, or one that cannot be read.
    """
    runs = _search(
        open_client(tracking_uri),
        f"tags.`{Tag.KIND}` = 'trial' AND tags.`{Tag.CONFIG_DIGEST}` = '{config_digest}'",
    )
    return list(dict.fromkeys(tag_of(run, Tag.STUDY) for run in runs))


def tag_of(run: "Run", tag: Tag) -> str:
    """Read a tag; empty where the run has none."""
    return str(run.data.tags.get(tag, ""))


def open_client(tracking_uri: str) -> "MlflowClient":
    """Open a store for reading.

    Raises:
        InputError: No such store, or one of another MLflow's schema.
    """
    # mlflow costs 1.2 s at import, and creates a SQLite database that does not exist: reading must not.
    path = sqlite_file(tracking_uri)
    if path is not None and not path.is_file():
        raise InputError(
            f"What a workspace does not have is read from MLflow, but there is no file '{path}'. "
            "Launch a study first, or name the workspace of one with --workspace."
        )
    return make_client(tracking_uri)


def trials_of(study: str) -> str:
    """MLflow's filter for a study's trials."""
    return f"tags.`{Tag.KIND}` = 'trial' AND tags.`{Tag.STUDY}` = '{study}'"


def search_all(
    client: "MlflowClient", experiment_id: str, filter_string: str, **options: Any
) -> Iterator["Run"]:
    """Yield the runs of an experiment that a filter finds; MLflow itself gives a page of them."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_string, max_results=PAGE_SIZE, page_token=token, **options
        )
        yield from page
        token = page.token
        if not token:
            return


def _search(client: "MlflowClient", filter_string: str) -> Iterator["Run"]:
    with reading_store():
        if experiment := client.get_experiment_by_name(EXPERIMENT):
            oldest_first = ["attributes.start_time ASC"]
            yield from search_all(client, experiment.experiment_id, filter_string, order_by=oldest_first)


def _runs_of_studies(client: "MlflowClient") -> dict[str, list["Run"]]:
    """Studies' own runs, by study."""
    runs: dict[str, list[Run]] = {}
    for run in _search(client, f"tags.`{Tag.KIND}` = 'study'"):
        runs.setdefault(tag_of(run, Tag.STUDY), []).append(run)
    return runs


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
