"""A study's runs in MLflow: a parent run and a child run a trial. Every call may be repeated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapert.config import Config
from adapert.records import (
    CODE_DIFF_FILE,
    CONFIG_FILE,
    ERROR_FILE,
    ORIGIN_FILE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    Tag,
    TrialStatus,
)
from adapert.study.ledger import EventKind, Ledger
from adapert.tracking.read import open_client, study_run

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

STUDY = ""
"""In place of a trial's id: the study's own run."""

# MLflow has no status for a trial that was stopped; KILLED is shown apart from FINISHED and FAILED.
RUN_STATUS = {
    TrialStatus.RUNNING: "RUNNING",
    TrialStatus.FINISHED: "FINISHED",
    TrialStatus.STOPPED: "KILLED",
    TrialStatus.FAILED: "FAILED",
    TrialStatus.INTERRUPTED: "KILLED",
}

MAX_PARAM = 6000
"""Characters of a param that MLflow stores."""

MAX_METRICS = 1000
"""Metrics that MLflow takes in one call."""

BEST_CONFIG_FILE = "best_config.yaml"

REPORT_FILE = "report/report.html"
"""Artifact of a study that a report was made of: the last one."""

EVALUATION_FILES = ("summary.csv", "paired.csv", "evaluation.json")
"""What MLflow gets of an evaluation; the rest of its folder is large."""

Connect = Callable[[], tuple["MlflowClient", str]]
"""Opens a store: its client, and the id of the experiment."""

# Errors of MLflow that trying again does not cure; any other may be a store that is slow, full or gone. Not
# BAD_REQUEST: a damaged or closed database is one, too.
LASTING_ERRORS = (
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
)


class NotYetError(RuntimeError):
    """What all else of a run needs, a store and the run itself, is not to be had yet, whatever the reason."""


def is_lasting(error: Exception) -> bool:
    """Whether the store would refuse the same again."""
    return getattr(error, "error_code", "") in LASTING_ERRORS


class Runs:
    """Writes runs. Metrics wait until `flush`, so that several epochs go in one call."""

    def __init__(self, connect: Connect, ledger: Ledger, run_ids: Mapping[str, str], is_new: bool) -> None:
        """Know the runs that a ledger names; the store is not opened yet.

        Args:
            connect: Opens the store.
            ledger: Where ids of new runs are recorded.
            run_ids: Trial id to run, so far.
            is_new: Whether the store cannot have runs that the ledger does not name.
        """
        self._connect, self._ledger, self._run_ids, self._is_new = connect, ledger, dict(run_ids), is_new
        self._client: MlflowClient | None = None
        self._experiment_id = ""
        self._metrics: dict[str, list[Metric]] = {}

    @property
    def client(self) -> "MlflowClient":
        """Of the store, opened by its first use."""
        if self._client is None:
            with _waited_for():
                self._client, self._experiment_id = self._connect()
        return self._client

    def create(self, trial_id: str, name: str, tags: Mapping[str, str], at: float) -> None:
        """Create a run, unless the store has it.

        Args:
            trial_id: `STUDY` for the parent run.
            name: Shown by MLflow.
            tags: `Tag.KIND`, `Tag.STUDY` and, of a child run, `Tag.TRIAL` identify it.
            at: Its start, seconds since 1970.

        Raises:
            NotYetError: The store does not take it.
        """
        if trial_id in self._run_ids:
            return
        client = self.client
        with _waited_for():
            run = None if self._is_new else self._find(tags, at)
            if run is None:
                parent = {} if trial_id == STUDY else {"mlflow.parentRunId": self._run_ids[STUDY]}
                run = client.create_run(
                    self._experiment_id,
                    run_name=name,
                    tags=dict(tags) | parent,
                    start_time=_milliseconds(at),
                )
        self._run_ids[trial_id] = run.info.run_id
        self._ledger.append(EventKind.TRACKED, trial=trial_id, run=run.info.run_id)

    def log_config(self, trial_id: str, config: Config) -> None:
        """Keep a trial's config: as params, and as a file that commands take."""
        from mlflow.entities import Param

        run_id = self._run_ids[trial_id]
        params = [Param(name, str(value)[:MAX_PARAM]) for name, value in config.flat().items()]
        self.client.log_batch(run_id, params=params)
        self.client.log_text(run_id, config.to_yaml(), CONFIG_FILE)

    def log_metrics(self, trial_id: str, values: Mapping[str, float], step: int, at: float) -> None:
        """Keep metrics for the next `flush`; what has the same time and step as before changes nothing."""
        from mlflow.entities import Metric

        waiting = self._metrics.setdefault(trial_id, [])
        waiting += [Metric(name, float(value), _milliseconds(at), step) for name, value in values.items()]

    def forget_metrics(self) -> None:
        """Drop the metrics that wait: they are to be logged anew."""
        self._metrics.clear()

    def flush(self) -> None:
        """Write the metrics that wait; one that the store refuses for good keeps no other back."""
        refusals = []
        for trial_id, metrics in list(self._metrics.items()):
            for start in range(0, len(metrics), MAX_METRICS):
                refusals += self._write_metrics(self._run_ids[trial_id], metrics[start : start + MAX_METRICS])
            del self._metrics[trial_id]
        if refusals:
            raise refusals[0]

    def reopen(self, trial_id: str) -> None:
        """Mark a run as running again."""
        run_id = self._run_ids[trial_id]
        self.client.set_tag(run_id, Tag.STATUS, TrialStatus.RUNNING)
        self.client.set_tag(run_id, Tag.MESSAGE, "")
        self.client.update_run(run_id, status=RUN_STATUS[TrialStatus.RUNNING])

    def end(self, trial_id: str, status: TrialStatus, tags: Mapping[str, str], at: float) -> None:
        """End a run; tags without a value are left out."""
        run_id = self._run_ids[trial_id]
        for name, value in {**tags, Tag.STATUS: status}.items():
            if value:
                self.client.set_tag(run_id, name, value)
        self.client.set_terminated(run_id, RUN_STATUS[status], _milliseconds(at))

    def keep_files(self, trial_id: str, folder: Path) -> None:
        """Keep what an ended trial left in its folder."""
        for name in (PER_PERTURBATION_FILE, WEIGHTS_FILE, ERROR_FILE):
            if (folder / name).is_file():
                self.client.log_artifact(self._run_ids[trial_id], str(folder / name))

    def keep_origin(self, origin: Mapping[str, Any], folder: Path) -> None:
        """Keep what a study was launched with: fingerprints, and its code's diff where there is one."""
        run_id = self._run_ids[STUDY]
        self.client.log_dict(run_id, dict(origin), ORIGIN_FILE)
        if (folder / CODE_DIFF_FILE).is_file():
            self.client.log_artifact(run_id, str(folder / CODE_DIFF_FILE))

    def log_best(self, config: Config) -> None:
        """Keep the best config with the study's own run."""
        self.client.log_text(self._run_ids[STUDY], config.to_yaml(), BEST_CONFIG_FILE)

    def _write_metrics(self, run_id: str, metrics: "list[Metric]") -> list[Exception]:
        """Write metrics in one call, or name by name where one is refused; return the refusals."""
        try:
            self.client.log_batch(run_id, metrics=metrics)
        except Exception as error:
            if not is_lasting(error):
                raise
            names = sorted({metric.key for metric in metrics})
            if len(names) == 1:
                return [error]
            by_name = ([metric for metric in metrics if metric.key == name] for name in names)
            return [refusal for of_name in by_name for refusal in self._write_metrics(run_id, of_name)]
        return []

    def _find(self, tags: Mapping[str, str], at: float) -> "Run | None":
        """Look for a run that was created, but not recorded, before a process was killed."""
        wanted = [name for name in (Tag.KIND, Tag.STUDY, Tag.TRIAL) if name in tags]
        query = " AND ".join(f"tags.`{name}` = '{tags[name]}'" for name in wanted)
        # A server may have studies of the same name from other workspaces.
        query += f" AND attributes.start_time = {_milliseconds(at)}"
        found = self.client.search_runs([self._experiment_id], query, max_results=1)
        return found[0] if found else None


@contextmanager
def _waited_for() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise NotYetError(f"{type(error).__name__}: {error}") from error


def keep_figures(tracking_uri: str, drawn: Mapping[str, Sequence[Path]]) -> None:
    """Keep each study's PNG figures with its own run, where MLflow shows them.

    Args:
        tracking_uri: MLflow's.
        drawn: Study to its files.
    """
    client = open_client(tracking_uri)
    for study, paths in drawn.items():
        for path in (path for path in paths if path.suffix == ".png"):
            client.log_artifact(study_run(tracking_uri, study).info.run_id, str(path), "figures")


def keep_pick(tracking_uri: str, study: str, objective: str, reevaluation: str) -> None:
    """Remember how a study's config was last picked.

    Args:
        tracking_uri: MLflow's.
        study: That was picked from.
        objective: By which.
        reevaluation: The study that trained the best anew; empty where none did.
    """
    run_id = study_run(tracking_uri, study).info.run_id
    open_client(tracking_uri).set_tag(run_id, Tag.PICKED_BY, f"{objective} {reevaluation}".strip())


def keep_evaluation(tracking_uri: str, study: str, folder: Path, n_openings: int | None) -> None:
    """Keep what came of an evaluation with its study's own run.

    Args:
        tracking_uri: MLflow's.
        study: Whose config was evaluated.
        folder: That the evaluation was written into; its small files are kept below ``evaluation``.
        n_openings: How often the study's test split was opened so far; None where it stayed closed.
    """
    client = open_client(tracking_uri)
    run_id = study_run(tracking_uri, study).info.run_id
    if n_openings is not None:
        client.set_tag(run_id, Tag.TEST_OPENINGS, str(n_openings))
    for name in EVALUATION_FILES:
        client.log_artifact(run_id, str(folder / name), f"evaluation/{folder.name}")


def keep_report(tracking_uri: str, studies: Sequence[str], page: str) -> None:
    """Keep a report with the own run of each study that it is about, where MLflow shows it.

    Args:
        tracking_uri: MLflow's.
        studies: Their names.
        page: HTML.
    """
    client = open_client(tracking_uri)
    for study in dict.fromkeys(studies):
        client.log_text(study_run(tracking_uri, study).info.run_id, page, REPORT_FILE)


def _milliseconds(at: float) -> int:
    return int(at * 1000)
