"""Runs of trials that were run again: next to their originals, and not part of any study."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adapert.config import Config
from adapert.csv_files import write_csv
from adapert.records import Tag
from adapert.study.engine.events import EpochReported, Event
from adapert.study.engine.state import StudyState
from adapert.tracking.expected import NOTE
from adapert.tracking.provenance import git_commit, package_versions
from adapert.tracking.runs import MAX_METRICS, MAX_TAG, RESULT_FILES, config_params, milliseconds
from adapert.tracking.summary import escape_markdown

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

KIND = "rerun"

COMPARISON_FILE = "rerun.csv"
"""Artifact of a rerun: each metric as it was tracked, and again."""


class Rerun:
    """Writes one rerun's run; observes its study."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client, self.run_id = client, run_id
        self._waiting: list[Metric] = []

    def on_event(self, event: Event, state: StudyState) -> None:
        """Log what an epoch reported, with the next one where the store does not answer."""
        from mlflow.entities import Metric

        if isinstance(event, EpochReported):
            at = milliseconds(event.time)
            self._waiting += [Metric(name, value, at, event.epoch) for name, value in event.metrics.items()]
            with suppress(Exception):  # whatever a store raises: training goes on without it
                self._deliver()

    def _deliver(self) -> None:
        while self._waiting:
            self._client.log_batch(self.run_id, metrics=self._waiting[:MAX_METRICS])
            del self._waiting[:MAX_METRICS]

    def log_comparison(self, comparison: pd.DataFrame, summary: str) -> None:
        """Keep the comparison with the original, and in words what came of it."""
        self._deliver()
        self._client.log_text(self.run_id, write_csv(comparison), COMPARISON_FILE)
        self._client.set_tag(self.run_id, NOTE, escape_markdown(summary))

    def log_files(self, folder: Path) -> None:
        """Keep what the trial left in its folder."""
        for path in (folder / name for name in RESULT_FILES):
            if path.is_file():
                self._client.log_artifact(self.run_id, str(path))


@contextmanager
def tracked_rerun(
    store: "tuple[MlflowClient, str]", original: str, config: Config, tags: Mapping[str, str]
) -> Iterator[Rerun]:
    """Track a trial that is run again in the block, however that ends, in a store (client, experiment)."""
    client, experiment = store
    all_tags = {
        **tags,
        Tag.KIND: KIND,
        Tag.ORIGINAL: original,
        Tag.GIT_COMMIT: git_commit(),
        Tag.VERSIONS: package_versions(),
    }
    run = client.create_run(experiment, tags=all_tags, run_name=f"{original} again")
    run_id = str(run.info.run_id)
    client.log_batch(run_id, params=config_params(config))
    try:
        yield Rerun(client, run_id)
    except BaseException as error:
        is_killed = isinstance(error, KeyboardInterrupt)
        client.set_tag(run_id, Tag.MESSAGE, (str(error) or type(error).__name__)[:MAX_TAG])
        client.set_terminated(run_id, "KILLED" if is_killed else "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
