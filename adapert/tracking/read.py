"""Read studies and their trials back from the store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError, name_some, nearest
from adapert.records import EXPERIMENT, Tag
from adapert.tracking.store import quiet_mlflow

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

_PAGE_SIZE = 500


def read_trials(tracking_uri: str, study: str) -> pd.DataFrame:
    """Read one row per trial of a study, whatever its end.

    Args:
        tracking_uri: MLflow's, such as ``"sqlite:////runs/mlflow.db"``.
        study: Name of the study; all its launches count.

    Returns:
        Columns run, name, variant, seed, status, config_digest, reason (an `EndReason`, empty where none is
        tracked), then the config under its dotted names (in the types of `Config`) and the last value of
        every metric. NaN where a trial has no such entry. Oldest trial first.

    Raises:
        InputError: No such store or study.
    """
    return pd.DataFrame([_trial_row(run) for run in trial_runs(tracking_uri, study)])


def read_histories(tracking_uri: str, study: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Read what the trials of a study reported epoch by epoch.

    Args:
        tracking_uri: MLflow's.
        study: Name of the study; all its launches count.
        metrics: Names of reported metrics.

    Returns:
        Columns run, metric, epoch, value; a trial without a metric has no row of it. Of an epoch that was
        trained twice, since a worker was lost, the later report.

    Raises:
        InputError: No such store or study.
    """
    client = open_client(tracking_uri)
    # One query a run and metric costs 2 ms; MLflow's public interface has none for several runs.
    rows = [
        (run.info.run_id, metric, epoch, value)
        for run in trial_runs(tracking_uri, study)
        for metric in metrics
        if metric in run.data.metrics
        for epoch, value in _latest_by_epoch(client.get_metric_history(run.info.run_id, metric))
    ]
    return pd.DataFrame(rows, columns=["run", "metric", "epoch", "value"])


def read_design(tracking_uri: str, study: str) -> str:
    """Read what a study was designed for: ``"search"``, ``"ablation"`` or ``"sensitivity"``.

    Raises:
        InputError: No such store or study, or its launches had different designs.
    """
    designs = _designs(open_client(tracking_uri), study)
    if len(designs) > 1:
        raise InputError(
            f"A study has one design, but the launches of '{study}' have {name_some(sorted(designs))}. "
            "Launch one of them under another name."
        )
    return designs.pop()


def trial_runs(tracking_uri: str, study: str) -> list["Run"]:
    """Find the child runs of a study, oldest first.

    Raises:
        InputError: No such store or study.
    """
    client = open_client(tracking_uri)
    _designs(client, study)
    return list(_search(client, _trials_of(study)))


def has_trials(tracking_uri: str, study: str) -> bool:
    """Whether a store has a trial of a study of this name.

    Raises:
        InputError: The store cannot be read.
    """
    return next(_search(open_client(tracking_uri), _trials_of(study)), None) is not None


def study_run(tracking_uri: str, study: str) -> "Run":
    """Find a study's own run; of its launches the last.

    Raises:
        InputError: No such store or study.
    """
    client = open_client(tracking_uri)
    _designs(client, study)
    return list(_search(client, f"tags.`{Tag.KIND}` = 'study' AND tags.`{Tag.STUDY}` = '{study}'"))[-1]


def find_studies(tracking_uri: str, config_digest: str) -> list[str]:
    """Name the studies that tried a config, the one with the oldest trial of it first.

    Args:
        tracking_uri: MLflow's.
        config_digest: Of the config (`Config.digest`).

    Returns:
        Empty where no study did, or where there is no store.
    """
    try:
        client = open_client(tracking_uri)
    except InputError:
        return []
    runs = _search(client, f"tags.`{Tag.KIND}` = 'trial' AND tags.`{Tag.CONFIG_DIGEST}` = '{config_digest}'")
    return list(dict.fromkeys(tag_of(run, Tag.STUDY) for run in runs))


def tag_of(run: "Run", tag: Tag) -> str:
    """Read a tag; empty where the run has none."""
    return str(run.data.tags.get(tag, ""))


def _latest_by_epoch(reports: "Iterable[Metric]") -> list[tuple[int, float]]:
    latest = {report.step: report.value for report in sorted(reports, key=lambda report: report.timestamp)}
    return sorted(latest.items())


def open_client(tracking_uri: str) -> "MlflowClient":
    """Open a store for reading.

    Raises:
        InputError: No such store.
    """
    # mlflow costs 1.2 s at import, and creates a SQLite database that does not exist: reading must not.
    path = tracking_uri.partition("?")[0].removeprefix("sqlite:///")
    if path != tracking_uri and not Path(path).is_file():
        raise InputError(
            f"Studies are read from a tracking store, but there is no file '{path}'. "
            "Launch a study first, or name the workspace of one with --workspace."
        )
    from mlflow.tracking import MlflowClient

    quiet_mlflow()
    return MlflowClient(tracking_uri=tracking_uri)


def _trials_of(study: str) -> str:
    """MLflow's filter for a study's trials."""
    return f"tags.`{Tag.KIND}` = 'trial' AND tags.`{Tag.STUDY}` = '{study}'"


def _search(client: "MlflowClient", filter_string: str) -> Iterator["Run"]:
    from mlflow.exceptions import MlflowException

    try:
        yield from _read_pages(client, filter_string)
    except MlflowException as error:
        raise InputError(
            "Studies are read from a tracking store, but it cannot be read: "
            f"{str(error).splitlines()[0].rstrip('.')}. Start its server, or give another --workspace."
        ) from error


def _read_pages(client: "MlflowClient", filter_string: str) -> Iterator["Run"]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    token = None
    while experiment is not None:
        page = client.search_runs(
            [experiment.experiment_id],
            filter_string,
            max_results=_PAGE_SIZE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _designs(client: "MlflowClient", study: str) -> set[str]:
    """Collect the designs of a study's launches; refuse a study that has none."""
    designs: dict[str, set[str]] = {}
    for run in _search(client, f"tags.`{Tag.KIND}` = 'study'"):
        designs.setdefault(tag_of(run, Tag.STUDY), set()).add(tag_of(run, Tag.DESIGN))
    if study in designs:
        return designs[study]
    existing = f"The store has {name_some(sorted(designs))}." if designs else "The store has no study yet."
    raise InputError(f"There is no study '{study}'.{nearest(study, designs)} {existing}")


def _trial_row(run: "Run") -> dict[str, Any]:
    identity = {
        "run": run.info.run_id,
        "name": run.info.run_name,
        "variant": tag_of(run, Tag.VARIANT),
        "seed": int(tag_of(run, Tag.SEED)),
        "status": tag_of(run, Tag.STATUS),
        "config_digest": tag_of(run, Tag.CONFIG_DIGEST),
        "reason": tag_of(run, Tag.REASON),
    }
    return identity | _typed(run.data.params) | dict(run.data.metrics)


def _typed(params: Mapping[str, str]) -> dict[str, Any]:
    """Give MLflow's strings the types of the config's fields; a fingerprint of digits stays a string."""
    defaults = Config().flat()
    return {name: _cast(text, defaults.get(name)) for name, text in params.items()}


def _cast(text: str, like: Any) -> Any:
    if isinstance(like, bool):
        return text == "True"
    return type(like)(text) if isinstance(like, int | float) else text
