"""Load what figures of a study are made of: its long table, its trials, their learning curves."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError, first_line, name_some
from adapert.evaluation.catalogue import check_metrics
from adapert.records import LONG_COLUMNS, OBJECTIVE, PER_PERTURBATION_FILE, TrialStatus
from adapert.results.study import StudyResults
from adapert.results.trial import TrialResult
from adapert.statistics.readings import REDUCTION

if TYPE_CHECKING:
    from pyarrow import Table

_LOSS_FIELDS = ("loss.lambda_non", "loss.non_deg_reduction")

CURVE_METRIC = "pearson_delta"
"""Reported at every epoch; its best epoch is the objective."""


class NothingToShowError(InputError):
    """A study that is sound, but has not (yet) what a figure shows."""


def load_per_perturbation(study: StudyResults, trials: Collection[str] | None = None) -> pd.DataFrame:
    """Load the long table of a study's finished trials, or of those among them that are named.

    Stopped trials are left out: their values are of another fidelity.

    Returns:
        `LONG_COLUMNS`, ``lambda_non``, the weight of Eq. 16 that the trial ran with (NaN if unknown), and
        ``non_deg_reduction``, over genes (empty if unknown); one row per trial, perturbation and metric.

    Raises:
        NothingToShowError: No finished trial.
        InputError: A finished trial without a readable table, or a metric that the catalogue does not have.
    """
    from pyarrow import concat_tables

    finished = [trial for trial in study.trials if trial.status == TrialStatus.FINISHED]
    if not finished:
        raise NothingToShowError(
            f"A study needs a finished trial to be analysed, but '{study.name}' has none. "
            f"{study.how_to_finish}"
        )
    chosen = [trial for trial in finished if trials is None or trial.name in trials]
    # Joined as Arrow's tables, which takes a tenth of pandas' time for a thousand.
    tables = [_long_table(study, trial) for trial in chosen]
    frame: pd.DataFrame = concat_tables(tables, promote_options="permissive").to_pandas()
    check_metrics(frame["metric"].unique(), f"the long table of study '{study.name}'")
    return frame


def load_search(study: StudyResults) -> pd.DataFrame:
    """Load the trials of a search, one row each, whatever their end.

    Returns:
        study, number (from 1, in the order they were asked for), run, seed, status, reason, epoch (the last
        that was reported), objective (validation Pearson-delta of the best epoch so far), then the config
        under its dotted names. NaN where a trial reported nothing.

    Raises:
        NothingToShowError: No trial has an objective.
    """
    trials = study.frame
    if OBJECTIVE not in trials or trials[OBJECTIVE].isna().all():
        raise NothingToShowError(
            f"A search is drawn from the objective of its trials, but study '{study.name}' has none yet. "
            f"{study.how_to_finish}"
        )
    identity = trials[["run", "seed", "status", "reason"]]
    reached = trials.reindex(columns=["epoch", OBJECTIVE]).set_axis(["epoch", "objective"], axis="columns")
    fields = trials[[name for name in Config().flat() if name in trials]]
    loaded = pd.concat([identity, reached, fields], axis="columns")
    loaded.insert(0, "study", study.name)
    loaded.insert(1, "number", range(1, len(loaded) + 1))
    return loaded


def load_curves(study: StudyResults) -> pd.DataFrame:
    """Load the validation Pearson-delta of a search's trials epoch by epoch.

    Returns:
        study, number, status, reason and objective as `load_search`, epoch, value; one row an epoch.

    Raises:
        NothingToShowError: No trial has an objective.
    """
    trials = load_search(study)[["study", "number", "run", "status", "reason", "objective"]]
    curves = study.read_histories([CURVE_METRIC]).drop(columns="metric")
    return trials.merge(curves, on="run").drop(columns="run")


def _long_table(study: StudyResults, trial: TrialResult) -> "Table":
    import pyarrow
    from pyarrow.parquet import ParquetFile

    with study.file(trial, PER_PERTURBATION_FILE) as path:
        try:
            table = ParquetFile(path).read(use_threads=False)
        except (OSError, ValueError) as error:  # pyarrow's errors are both
            raise InputError(
                f"A finished trial must have left a table of its metrics, but '{path}' cannot be read: "
                f"{first_line(error)} Put it back, or launch the study under another name."
            ) from error
    missing = [column for column in LONG_COLUMNS if column not in table.column_names]
    if missing:
        raise InputError(
            f"'{PER_PERTURBATION_FILE}' must have the columns of the long table, but that of trial "
            f"'{trial.name}' lacks {name_some(missing)}. Run the trial again with this version."
        )
    weight, reduction = (trial.config.get(field) for field in _LOSS_FIELDS)
    weights = pyarrow.array([float("nan" if weight is None else weight)] * len(table))
    reductions = pyarrow.array([str(reduction or "")] * len(table))
    long = table.select(list(LONG_COLUMNS)).append_column("lambda_non", weights)
    return long.append_column(REDUCTION, reductions)
