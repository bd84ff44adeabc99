"""A study's runs in MLflow: a parent run and a child run a trial. Every call may be repeated."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlparse

from adapert.config import Config
from adapert.errors import InputError, first_line
from adapert.files import whole_file
from adapert.records import (
    ERROR_FILE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    EndReason,
    Tag,
    TrialStatus,
)
from adapert.study.engine.events import RunTracked
from adapert.study.engine.folders import REPORT_FILE
from adapert.study.engine.ledger import Ledger
from adapert.tracking.expected import NOTE, STUDY
from adapert.tracking.read import open_client, search_all, study_run, tag_of
from adapert.tracking.store import study_artifacts
from adapert.tracking.summary import put_first

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run
    from mlflow.tracking import MlflowClient

_LOGGER = logging.getLogger(__name__)

# MLflow has no status for a trial that was stopped; KILLED is shown apart from FINISHED and FAILED.
RUN_STATUS = {
    TrialStatus.RUNNING: "RUNNING",
    TrialStatus.FINISHED: "FINISHED",
    TrialStatus.STOPPED: "KILLED",
    TrialStatus.FAILED: "FAILED",
    TrialStatus.INTERRUPTED: "KILLED",
}

RESULT_FILES = (PER_PERTURBATION_FILE, WEIGHTS_FILE, ERROR_FILE)
"""What MLflow gets of an ended trial's folder, besides its config."""

MAX_PARAM = 6000
"""Characters of a param that MLflow stores."""

MAX_TAG = 8000
"""Characters of a tag that MLflow stores."""

MAX_METRICS = 1000
"""Metrics that MLflow takes in one call."""

BEST_CONFIG_FILE = "best_config.yaml"

FIGURES, REPORT_FOLDER = "figures", "report"
"""Folders among a study's artifacts: of its figures, and of the last report on it."""

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
    """The store does not answer, or does not take the run itself, which everything else about it needs."""


def is_lasting(error: Exception) -> bool:
    """Whether the store would refuse the same call again."""
    return isinstance(error, InputError) or getattr(error, "error_code", "") in LASTING_ERRORS


def run_status(status: TrialStatus, reason: EndReason | None = None) -> str:
    """MLflow's status of a run; a trial stopped at a rung ended as it should, and its tags say how."""
    return "FINISHED" if reason == EndReason.RUNG else RUN_STATUS[status]


class Counted:
    """A client that counts the calls that the store has answered."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client
        self.n_answered = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method of the client."""
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            answer = method(*arguments, **options)
            self.n_answered += 1
            return answer

        return call


class Runs:
    """Writes runs. Metrics wait until `flush`, so that several epochs go in one call."""

    def __init__(self, connect: Connect, ledger: Ledger, run_ids: Mapping[str, str], is_new: bool) -> None:
        """Start from the runs that a ledger names; the store is not opened yet.

        Args:
            connect: Opens the store.
            ledger: Ledger that records the ids of new runs.
            run_ids: Trial id to run id, so far.
            is_new: Whether the store cannot have runs that the ledger does not name.
        """
        self._connect, self._ledger, self._run_ids, self._is_new = connect, ledger, dict(run_ids), is_new
        self._client: Counted | None = None
        self._experiment_id = ""
        self._metrics: dict[str, list[Metric]] = {}

    @property
    def client(self) -> "MlflowClient":
        """Client of the store, which its first use opens."""
        if self._client is None:
            with _waited_for():
                client, self._experiment_id = self._connect()
            self._client = Counted(client)
        return cast("MlflowClient", self._client)

    @property
    def n_answered(self) -> int:
        """Calls that the store has answered so far."""
        return self._client.n_answered if self._client else 0

    def run_id(self, trial_id: str) -> str:
        """MLflow's id of a run; empty where there is none yet."""
        return self._run_ids.get(trial_id, "")

    def find_all(self, study: str, starts: Mapping[str, float]) -> "dict[str, Run]":
        """Ask the store which runs it has of a study, deleted ones too, and forget all others.

        The start of a trial's run tells it from one of another workspace's study.

        Returns:
            Trial id to run.

        Raises:
            NotYetError: The store does not answer.
        """
        from mlflow.entities import ViewType

        client = self.client
        found: dict[str, Run] = {}
        with _waited_for():
            query = f"tags.`{Tag.STUDY}` = '{study}'"
            for run in search_all(client, self._experiment_id, query, run_view_type=ViewType.ALL):
                if tag_of(run, Tag.KIND) not in ("study", "trial"):
                    continue
                trial = run.data.tags.get(Tag.TRIAL, STUDY)
                is_known = self._run_ids.get(trial) == run.info.run_id
                is_meant = trial in starts and run.info.start_time == milliseconds(starts[trial])
                if is_known or (is_meant and trial not in found):
                    found[trial] = run
        for trial, run in found.items():
            self._name(trial, run.info.run_id)
        self._run_ids = {trial: run.info.run_id for trial, run in found.items()}
        self._is_new = True
        return found

    def _name(self, trial_id: str, run_id: str) -> None:
        if self._run_ids.get(trial_id) != run_id:
            self._run_ids[trial_id] = run_id
            self._ledger.append(RunTracked(trial=trial_id, run=run_id))

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
        if trial_id in self._run_ids:  # a delivery that failed is repeated
            return
        client = self.client
        with _waited_for():
            run = None if self._is_new else self._find(tags, at)
            if run is None:
                parent = {} if trial_id == STUDY else {"mlflow.parentRunId": self._run_ids[STUDY]}
                is_new, self._is_new = self._is_new, False  # one that fails may have been created
                run = client.create_run(
                    self._experiment_id,
                    run_name=name,
                    tags=dict(tags) | parent,
                    start_time=milliseconds(at),
                )
                self._is_new = is_new
        self._name(trial_id, run.info.run_id)

    def restore(self, trial_id: str) -> None:
        """Take a run back that somebody deleted."""
        self.client.restore_run(self._run_ids[trial_id])

    def set_tags(self, trial_id: str, tags: Mapping[str, str]) -> None:
        """Give a run tags, in one call; a child run knows the study's own run as it is now."""
        from mlflow.entities import RunTag

        parent = "mlflow.parentRunId"
        named = dict(tags) | ({parent: self._run_ids[STUDY]} if parent in tags else {})
        self.client.log_batch(
            self._run_ids[trial_id], tags=[RunTag(str(name), text[:MAX_TAG]) for name, text in named.items()]
        )

    def log_data(self, trial_id: str, config: Config) -> None:
        """Keep which data set a run used: its name, and its fingerprint as digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        path = Path(config.data.path)
        source = json.dumps({"uri": str(path)})
        dataset = Dataset(path.name or "prepared", config.data.fingerprint, "local", source)
        context = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(self._run_ids[trial_id], [DatasetInput(dataset, [context])])

    def log_params(self, trial_id: str, config: Config) -> None:
        """Keep a trial's config as params."""
        self.client.log_batch(self._run_ids[trial_id], params=config_params(config))

    def keep_text(self, trial_id: str, text: str, name: str) -> None:
        """Keep a text as an artifact."""
        self.client.log_text(self._run_ids[trial_id], text, name)

    def log_metrics(self, trial_id: str, values: Mapping[str, float], step: int, at: float) -> None:
        """Keep metrics for the next `flush`; what has the same time and step as before changes nothing."""
        from mlflow.entities import Metric

        waiting = self._metrics.setdefault(trial_id, [])
        waiting += [Metric(name, float(value), milliseconds(at), step) for name, value in values.items()]

    def forget_metrics(self) -> None:
        """Drop the metrics that wait, to log them again."""
        self._metrics.clear()

    def flush(self) -> None:
        """Write the metrics that wait; one that the store refuses for good does not hold others back."""
        refusals = []
        for trial_id, metrics in list(self._metrics.items()):
            for start in range(0, len(metrics), MAX_METRICS):
                refusals += self._write_metrics(self._run_ids[trial_id], metrics[start : start + MAX_METRICS])
            del self._metrics[trial_id]
        if refusals:
            raise refusals[0]

    def reopen(self, trial_id: str) -> None:
        """Mark a run as running again."""
        self.set_tags(trial_id, {Tag.STATUS: TrialStatus.RUNNING, Tag.MESSAGE: ""})
        self.client.update_run(self._run_ids[trial_id], status=RUN_STATUS[TrialStatus.RUNNING])

    def terminate(
        self, trial_id: str, status: TrialStatus, at: float, reason: EndReason | None = None
    ) -> None:
        """Give a run MLflow's own status of its end."""
        self.client.set_terminated(self._run_ids[trial_id], run_status(status, reason), milliseconds(at))

    def keep_file(self, trial_id: str, path: Path, folder: str | None = None) -> None:
        """Keep a file, in a folder of the run's artifacts where one is named."""
        self.client.log_artifact(self._run_ids[trial_id], str(path), folder)

    def has_artifact(self, run: "Run", name: str, like: Path | None = None) -> bool:
        """Whether a run has an artifact, as long as a file where one is given; a server is asked."""
        if is_local(run):
            return has_file(run, name, like)
        folder = name.rpartition("/")[0]
        sizes = {file.path: file.file_size for file in self.client.list_artifacts(run.info.run_id, folder)}
        return name in sizes and (like is None or sizes[name] == like.stat().st_size)

    def keep_model(self, log: "Callable[[MlflowClient, str, Path], None]", folder: Path) -> None:
        """Keep the picked model with the study's own run."""
        log(self.client, self._run_ids[STUDY], folder)

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
            # MLflow refuses a whole batch for one bad name.
            by_name = ([metric for metric in metrics if metric.key == name] for name in names)
            return [refusal for of_name in by_name for refusal in self._write_metrics(run_id, of_name)]
        return []

    def _find(self, tags: Mapping[str, str], at: float) -> "Run | None":
        """Look for a run that was created, but not recorded, before a process was killed."""
        wanted = [name for name in (Tag.KIND, Tag.STUDY, Tag.TRIAL) if name in tags]
        query = " AND ".join(f"tags.`{name}` = '{tags[name]}'" for name in wanted)
        # A server may have studies of the same name from other workspaces.
        query += f" AND attributes.start_time = {milliseconds(at)}"
        found = self.client.search_runs([self._experiment_id], query, max_results=1)
        return found[0] if found else None


def config_params(config: Config) -> "list[Param]":
    """What a config's model reads as MLflow's params, each cut to what it stores."""
    from mlflow.entities import Param

    return [Param(name, str(value)[:MAX_PARAM]) for name, value in config.settings().items()]


def is_local(run: "Run") -> bool:
    """Whether a run's artifacts are files of this machine."""
    return urlparse(run.info.artifact_uri).scheme in ("", "file")


def has_file(run: "Run", name: str, like: Path | str | None = None) -> bool:
    """Whether a run whose artifacts are files of this machine has one, as long as a file or text if given."""
    path = Path(unquote(urlparse(run.info.artifact_uri).path)) / name
    if not path.is_file() or like is None:
        return path.is_file()
    length = like.stat().st_size if isinstance(like, Path) else len(like.encode())
    return path.stat().st_size == length


@contextmanager
def _waited_for() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise NotYetError(f"{type(error).__name__}: {error}") from error


KEEP_SECONDS = 60.0
"""How long a command waits for a store that is to keep what the workspace has already."""


def keep_figures(tracking_uri: str, drawn: Mapping[str, Sequence[Path]]) -> None:
    """Keep each study's PNG figures with its own run, where MLflow shows them."""

    def keep() -> None:
        for study, paths in drawn.items():
            _keep_files(tracking_uri, study, [path for path in paths if path.suffix == ".png"], FIGURES)

    _work_aside("the figures", keep)


def keep_pick(tracking_uri: str, study: str, objective: str, reevaluation: str) -> None:
    """Remember how a study's config was last picked; `reevaluation` is empty without one."""

    def write(client: "MlflowClient", run: "Run") -> None:
        client.set_tag(run.info.run_id, Tag.PICKED_BY, picked_by(objective, reevaluation))

    try_to_keep("how the config was picked", tracking_uri, study, write)


def picked_by(objective: str, reevaluation: str) -> str:
    """Value of `Tag.PICKED_BY`."""
    return f"{objective} {reevaluation}".strip()


def keep_evaluation(tracking_uri: str, study: str, folder: Path, n_accesses: int | None) -> None:
    """Keep what came of an evaluation with its study's own run; ``adapert sync`` does so later, too.

    The folder's small files are kept below ``evaluation``. The number of accesses to the study's test split
    is None where it stayed closed.
    """

    def write(client: "MlflowClient", run: "Run") -> None:
        if n_accesses is not None:
            client.set_tag(run.info.run_id, Tag.TEST_OPENINGS, str(n_accesses))
        for name in EVALUATION_FILES:
            client.log_artifact(run.info.run_id, str(folder / name), f"evaluation/{folder.name}")

    try_to_keep("the evaluation", tracking_uri, study, write)


def keep_report(tracking_uri: str, studies: Sequence[str], page: str) -> None:
    """Keep a report with the own run of each study that it is about, where MLflow shows it."""

    def keep() -> None:
        with TemporaryDirectory() as folder:
            file = Path(folder) / REPORT_FILE
            file.write_text(page, encoding="utf-8")
            for study in dict.fromkeys(studies):
                _keep_files(tracking_uri, study, [file], REPORT_FOLDER)

    _work_aside("the report", keep)


def keep_findings(tracking_uri: str, studies: Sequence[str], findings: str) -> None:
    """Begin the description of each study's own run with what was found, Markdown."""

    def keep() -> None:
        client = open_client(tracking_uri)
        for study in dict.fromkeys(studies):
            run = study_run(tracking_uri, study)
            note = put_first(findings, run.data.tags.get(NOTE, ""))
            client.set_tag(run.info.run_id, NOTE, note[:MAX_TAG])

    _work_aside("the findings", keep)


def _keep_files(tracking_uri: str, study: str, files: Sequence[Path], kept: str) -> None:
    """Keep files among the artifacts of a study's own run, in one of their folders."""
    if (artifacts := study_artifacts(tracking_uri, study)) is not None:
        for file in files:
            with whole_file(artifacts / kept / file.name) as beside:
                shutil.copyfile(file, beside)
        return
    client, run_id = open_client(tracking_uri), study_run(tracking_uri, study).info.run_id
    for file in files:
        client.log_artifact(run_id, str(file), kept)


def try_to_keep(
    what: str, tracking_uri: str, study: str, write: "Callable[[MlflowClient, Run], None]"
) -> None:
    """Give a study's own run what the workspace has already; whatever the store does, the command goes on.

    `what` names it in the message that says it was not kept.
    """
    _work_aside(what, lambda: write(open_client(tracking_uri), study_run(tracking_uri, study)))


def _work_aside(what: str, keep: Callable[[], None]) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            keep()
        except Exception as error:  # MLflow's, the database's or the network's
            errors.append(error)

    # MLflow tries a database that is away for minutes, and nothing makes it stop.
    thread = threading.Thread(target=work, name="mlflow-keeper", daemon=True)
    thread.start()
    thread.join(KEEP_SECONDS)
    if thread.is_alive():
        _LOGGER.warning(f"MLflow did not take {what} within {KEEP_SECONDS:g} s. The workspace has it.")
    elif errors:
        _LOGGER.warning(f"MLflow did not take {what}: {first_line(errors[0])} The workspace has it.")


def milliseconds(at: float) -> int:
    """Time as MLflow has it."""
    return int(at * 1000)
