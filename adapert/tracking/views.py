"""The columns that MLflow's run table opens with.

By default the table shows neither metrics nor params. A view that is shared by address is kept as a tag of
the experiment (MLflow 3.17); without the tag the page opens as usual.
"""

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from adapert.records import Tag

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KNOBS = (
    "loss.lambda_non",
    "loss.lambda_align",
    "loss.huber_delta",
    "model.tau",
    "model.threshold",
    "graph.top_k",
)

WIDTHS = {
    "metrics.`best_pearson_delta`": 140,
    "metrics.`best_pds`": 80,
    f"tags.`{Tag.STATUS}`": 110,
    f"tags.`{Tag.STUDY}`": 110,
    "metrics.`epoch`": 60,
    **{f"params.`{knob}`": 125 for knob in KNOBS},
    f"tags.`{Tag.MESSAGE}`": 200,
}
"""Column to its width in pixels, in the table's order."""

VIEWS = {
    "studies": {"orderByKey": "attributes.start_time", "searchFilter": ""},
    "leaderboard": {
        "orderByKey": "metrics.`best_pearson_delta`",
        "searchFilter": f"tags.`{Tag.KIND}` = 'trial'",
    },
}
"""Trials below their studies, newest first; all trials, best first."""


def share_views(client: "MlflowClient", experiment_id: str) -> None:
    """Keep the views with the experiment."""
    for name, view in VIEWS.items():
        state = view | {
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "selectedColumns": list(WIDTHS),
            "columnOrder": list(WIDTHS),
            "columnWidths": WIDTHS,
        }
        client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{name}", json.dumps(state))


def view_address(experiment_id: str, port: int, view: str) -> str:
    """Address of a view; without the workflow type MLflow opens its GenAI pages."""
    query = urlencode(
        {
            "workflowType": "machine_learning",
            "compareRunsMode": "TABLE",
            "viewStateShareKey": view,
        }
    )
    return f"http://127.0.0.1:{port}/#/experiments/{experiment_id}/runs?{query}"
