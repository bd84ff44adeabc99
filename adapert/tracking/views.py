"""What MLflow's run table and charts open with.

By default the table shows neither metrics nor params, and the charts show every metric in alphabetical order.
A view that is shared by address is kept as a tag of the experiment (MLflow 3.17); without the tag the page
opens as usual.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from adapert.evaluation.catalogue import METRICS
from adapert.records import OBJECTIVE, Tag
from adapert.tracking.read import trials_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

HYPERPARAMETERS = (
    "loss.lambda_non",
    "loss.lambda_align",
    "loss.huber_delta",
    "model.tau",
    "model.threshold",
    "graph.top_k",
)

RUN_NAME, CREATED = "attributes.`Run Name`", "runDateAndNestInfo"
"""Columns that MLflow always shows."""

SCREEN = 1600
"""Pixels of a window that the table is made for, without MLflow's assistant."""

MARGINS = 327
"""Of them beside the columns: navigation, edges, boxes to tick."""

PADDING, PER_LETTER = 26, 6.2
"""Pixels of the head of a column."""

CHARTED = ("pearson_delta", "pds")
"""Metrics of the first charts."""

VALIDATION, OTHERS = "Validation", "Other metrics"
"""Sections of charts; the second is closed."""

STUDIES = "studies"
"""The view of all trials below their studies, newest first."""

N_STUDIES = 100
"""Newest studies that get a leaderboard."""

N_TRIALS = 50
"""Trials of a study that are asked which fields and metrics they have."""


def share_views(client: "MlflowClient", experiment_id: str) -> list[str]:
    """Keep the views of a store with the experiment: `STUDIES`, and each study's trials, best first.

    Trials of several studies are not ranked together: searches, ablations and trials on redrawn splits do not
    compare.

    Returns:
        Names of the views, the newest study first.
    """
    views = {STUDIES: {"orderByKey": "attributes.start_time", "searchFilter": ""}}
    names = {f"best_{metric}" for metric in METRICS}
    for study in _newest(client, experiment_id):
        trials = client.search_runs([experiment_id], trials_of(study), max_results=N_TRIALS)
        names.update(*(trial.data.metrics for trial in trials))
        views[f"leaderboard of {study}"] = {
            "orderByKey": f"metrics.`{OBJECTIVE}`",
            "searchFilter": trials_of(study),
            **_show(_varied(trials) or HYPERPARAMETERS, names),
        }
    views[STUDIES] |= _show(HYPERPARAMETERS, names)
    for name, view in views.items():
        state = view | {
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
        }
        client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{_key(name)}", pack(state))
    return list(views)


def _newest(client: "MlflowClient", experiment_id: str) -> list[str]:
    runs = client.search_runs(
        [experiment_id],
        f"tags.`{Tag.KIND}` = 'study'",
        max_results=N_STUDIES,
        order_by=["attributes.start_time DESC"],
    )
    return list(dict.fromkeys(run.data.tags[Tag.STUDY] for run in runs))


def _varied(trials: "Iterable[Run]") -> list[str]:
    """Name fields that trials differ in, as many as there are hyperparameters, and these first."""
    values: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in trial.data.params.items():
            values.setdefault(name, set()).add(value)
    varied = {name for name in values if len(values[name]) > 1 and not name.startswith("data.")}
    first = [name for name in HYPERPARAMETERS if name in varied]
    return [*first, *sorted(varied - {*first})][: len(HYPERPARAMETERS)]


def pack(state: dict[str, Any]) -> str:
    """Write a view as MLflow's pages do: a tag has a limit."""
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _show(fields: Sequence[str], metrics: Iterable[str]) -> dict[str, Any]:
    """Columns of the table, and charts."""
    widths = build_widths(fields)
    return {
        "selectedColumns": [column for column in widths if column not in (RUN_NAME, CREATED)],
        "columnOrder": list(widths),
        "columnWidths": widths,
        **_arrange_charts(fields, metrics),
    }


def build_widths(fields: Sequence[str]) -> dict[str, int]:
    """Lay out the table: column to its width in pixels; what says how a trial ended follows to the right."""
    shown = [f"metrics.`{OBJECTIVE}`", "metrics.`best_pds`", *(f"params.`{name}`" for name in fields)]
    heads = {column: round(PADDING + PER_LETTER * len(column.split("`")[1])) for column in shown}
    tags = {Tag.STATUS: 85, Tag.REASON: 85, Tag.VARIANT: 110, Tag.STUDY: 110, Tag.MESSAGE: 300}
    return {RUN_NAME: 150, CREATED: 130} | heads | {f"tags.`{tag}`": width for tag, width in tags.items()}


def _arrange_charts(fields: Sequence[str], metrics: Iterable[str]) -> dict[str, Any]:
    """Validation first; MLflow adds every metric that is not named here, so those not to be drawn are."""
    others = sorted({*metrics} - {*CHARTED, OBJECTIVE})
    charts = [_line(name, VALIDATION) for name in CHARTED]
    charts.append(_chart("PARALLEL", "hyperparameters", VALIDATION) | _coordinates(fields))
    charts.append(_chart("BAR", OBJECTIVE, VALIDATION) | {"metricKey": OBJECTIVE})
    # The best so far is a step curve, or, where it comes at a trial's end, a single dot.
    charts += [_line(name, OTHERS) | {"deleted": name.startswith("best_")} for name in others]
    sections = [
        {"uuid": name, "name": name, "display": name == VALIDATION, "isReordered": True, "columns": columns}
        for name, columns in ((VALIDATION, 2), (OTHERS, 3))
    ]
    return {
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def _chart(kind: str, name: str, section: str) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": name,
        "metricSectionId": section,
        "isGenerated": False,
        "deleted": False,
        "runsCountToCompare": 20,
    }


def _coordinates(fields: Sequence[str]) -> dict[str, Any]:
    return {"selectedParams": list(fields), "selectedMetrics": [OBJECTIVE], "showAllRuns": False}


def _line(metric: str, section: str) -> dict[str, Any]:
    return _chart("LINE", metric, section) | {
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _key(view: str) -> str:
    """Key under which MLflow keeps a view."""
    return view.replace(" of ", ".")


def view_address(experiment_id: str, port: int, view: str) -> str:
    """Address of a view; without the workflow type MLflow opens its GenAI pages."""
    query = urlencode(
        {
            "workflowType": "machine_learning",
            "compareRunsMode": "TABLE",
            "viewStateShareKey": _key(view),
        }
    )
    return f"http://127.0.0.1:{port}/#/experiments/{experiment_id}/runs?{query}"
