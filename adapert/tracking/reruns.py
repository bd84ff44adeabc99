"""Runs of trials that were run again: next to their originals, and not part of any study."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adapert.config import Config
from adapert.csv_files import write_csv
from adapert.records import Tag
from adapert.tracking.expected import NOTE
from adapert.tracking.provenance import git_commit, package_versions
from adapert.tracking.runs import MAX_PARAM, MAX_TAG
from adapert.tracking.summary import escape_markdown

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KIND = "rerun"

COMPARISON_FILE = "rerun.csv"
"""Artifact of a rerun: each metric as it was tracked, and again."""


class Rerun:
    """Writes one rerun's run."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client, self.run_id = client, run_id

    def log_epoch(self, metrics: Mapping[str, float]) -> None:
        """Keep what an epoch, or the end of training, reported."""
        from mlflow.entities import Metric

        at, step = int(time.time() * 1000), int(metrics.get("epoch", 0))
        entries = [Metric(name, float(value), at, step) for name, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=entries)

    def log_comparison(self, comparison: pd.DataFrame, summary: str) -> None:
        """Keep the comparison with the original, as a table and in words."""
        self._client.log_text(self.run_id, write_csv(comparison), COMPARISON_FILE)
        self._client.set_tag(self.run_id, NOTE, escape_markdown(summary))

    def log_file(self, path: Path) -> None:
        """Keep a file."""
        self._client.log_artifact(self.run_id, str(path))


@contextmanager
def tracked_rerun(
    store: "tuple[MlflowClient, str]", original: str, config: Config, tags: Mapping[str, str]
) -> Iterator[Rerun]:
    """Track a trial that is run again in the block, however that ends.

    Args:
        store: Client, and id of the experiment.
        original: Name of the trial: ``"search/007"``.
        config: Config that it runs with.
        tags: Tags of the trial, and of where it runs now.
    """
    from mlflow.entities import Param

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
    client.log_batch(
        run_id, params=[Param(name, str(value)[:MAX_PARAM]) for name, value in config.flat().items()]
    )
    try:
        yield Rerun(client, run_id)
    except BaseException as error:
        is_killed = isinstance(error, KeyboardInterrupt)
        client.set_tag(run_id, Tag.MESSAGE, (str(error) or type(error).__name__)[:MAX_TAG])
        client.set_terminated(run_id, "KILLED" if is_killed else "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
