"""The columns that MLflow's run table opens with.

By default the table shows neither metrics nor params. A view that is shared by address is kept as a tag of
the experiment (MLflow 3.17); without the tag the page opens as usual.
"""

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from adapert.records import Tag
from adapert.tracking.read import trials_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

HYPERPARAMETERS = (
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
    f"tags.`{Tag.REASON}`": 90,
    f"tags.`{Tag.STUDY}`": 110,
    f"tags.`{Tag.VARIANT}`": 110,
    "metrics.`epoch`": 60,
    **{f"params.`{name}`": 125 for name in HYPERPARAMETERS},
    f"tags.`{Tag.MESSAGE}`": 200,
}
"""Column to its width in pixels, in the table's order."""

STUDIES = "studies"
"""The view of all trials below their studies, newest first."""

N_STUDIES = 100
"""Newest studies that get a leaderboard."""


def share_views(client: "MlflowClient", experiment_id: str) -> list[str]:
    """Keep the views of a store with the experiment: `STUDIES`, and each study's trials, best first.

    Trials of several studies are not ranked together: searches, ablations and trials on redrawn splits do not
    compare.

    Returns:
        Names of the views, the newest study first.
    """
    views = {STUDIES: {"orderByKey": "attributes.start_time", "searchFilter": ""}}
    for run in client.search_runs(
        [experiment_id],
        f"tags.`{Tag.KIND}` = 'study'",
        max_results=N_STUDIES,
        order_by=["attributes.start_time DESC"],
    ):
        study = run.data.tags[Tag.STUDY]
        views[f"leaderboard of {study}"] = {
            "orderByKey": "metrics.`best_pearson_delta`",
            "searchFilter": trials_of(study),
        }
    for name, view in views.items():
        state = view | {
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "selectedColumns": list(WIDTHS),
            "columnOrder": list(WIDTHS),
            "columnWidths": WIDTHS,
        }
        client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{_key(name)}", json.dumps(state))
    return list(views)


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
