import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from adapert.errors import InputError
from adapert.evaluation.catalogue import METRICS
from adapert.records import OBJECTIVE, Tag
from adapert.tracking.store import DATABASE, open_store
from adapert.tracking.ui import serve
from adapert.tracking.views import HYPERPARAMETERS, MARGINS, SCREEN, share_views, view_address


def test_a_workspace_without_a_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"'{re.escape(str(tmp_path))}' has no {DATABASE}\. Launch a study"):
        serve(tmp_path, 5000, Console())
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_refused(workspace: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"needs a free port, but {port} is taken\. Give another"):
            serve(workspace, port, Console())


def views_of(workspace: Path, *studies: str) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Views that are kept with an experiment of these studies, by the key in their address."""
    client, experiment = open_store(workspace)
    for number, study in enumerate(studies):
        tags = {Tag.KIND: "study", Tag.STUDY: study}
        client.create_run(experiment, tags=tags, start_time=number + 1)
    names = share_views(client, experiment)
    return names, read_views(workspace)


def read_views(workspace: Path) -> dict[str, dict[str, Any]]:
    """Views of a store, as MLflow's pages read them."""
    client, experiment = open_store(workspace)
    tags = client.get_experiment(experiment).tags
    prefix = "mlflow.sharedViewState."
    packed = {
        name.removeprefix(prefix): text.removeprefix("deflate;")
        for name, text in tags.items()
        if name.startswith(prefix)
    }
    return {name: json.loads(zlib.decompress(base64.b64decode(text))) for name, text in packed.items()}


def test_each_study_has_a_leaderboard_of_its_own(workspace: Path) -> None:
    names, kept = views_of(workspace, "search", "ablation")
    assert names == ["studies", "leaderboard of ablation", "leaderboard of search"]
    assert sorted(kept) == ["leaderboard.ablation", "leaderboard.search", "studies"]
    view = kept["leaderboard.search"]
    assert view["orderByKey"] == "metrics.`best_pearson_delta`"
    assert view["searchFilter"] == f"tags.`{Tag.KIND}` = 'trial' AND tags.`{Tag.STUDY}` = 'search'"


def test_a_leaderboard_s_filter_finds_the_trials_of_its_study_alone(workspace: Path) -> None:
    _, kept = views_of(workspace, "search", "ablation")
    client, experiment = open_store(workspace)
    for study in ("search", "ablation"):
        client.create_run(experiment, tags={Tag.KIND: "trial", Tag.STUDY: study}, run_name=study)
    found = client.search_runs([experiment], kept["leaderboard.search"]["searchFilter"])
    assert [run.info.run_name for run in found] == ["search"]


def test_a_leaderboard_says_how_each_trial_ended(workspace: Path) -> None:
    _, kept = views_of(workspace, "search")
    columns = kept["leaderboard.search"]["selectedColumns"]
    assert {f"tags.`{Tag.STATUS}`", f"tags.`{Tag.REASON}`", f"tags.`{Tag.VARIANT}`"} <= set(columns)


def test_the_hyperparameters_and_a_trial_s_end_fit_a_screen(workspace: Path) -> None:
    _, kept = views_of(workspace, "search")
    view = kept["leaderboard.search"]
    n_fitting = view["columnOrder"].index(f"tags.`{Tag.STATUS}`") + 1
    fitting = view["columnOrder"][:n_fitting]
    assert {f"params.`{name}`" for name in HYPERPARAMETERS} < set(fitting)
    assert sum(view["columnWidths"][column] for column in fitting) <= SCREEN - MARGINS


def test_the_first_chart_is_validation_and_no_chart_is_of_a_best_so_far(workspace: Path) -> None:
    client, experiment = open_store(workspace)
    tags = {Tag.KIND: "trial", Tag.STUDY: "search"}
    run = client.create_run(experiment, tags=tags).info.run_id
    for name in ("loss_total", "best_mae_of_mine", "pearson_delta", OBJECTIVE):
        client.log_metric(run, name, 0.5)
    _, kept = views_of(workspace, "search")
    charts = kept["leaderboard.search"]["compareRunCharts"]
    assert [charts[0]["metricKey"], charts[0]["metricSectionId"]] == ["pearson_delta", "Validation"]
    assert kept["leaderboard.search"]["compareRunSections"][0]["name"] == "Validation"
    drawn = {chart.get("metricKey") for chart in charts if not chart["deleted"]}
    # As bars, a value a run.
    assert {name for name in drawn if name and name.startswith("best_")} == {OBJECTIVE}
    assert "loss_total" in drawn
    # Every other metric that a trial may log is named too, since MLflow would add its chart.
    named = {chart.get("metricKey") for chart in charts}
    assert {"best_mae_of_mine", *(f"best_{metric}" for metric in METRICS)} <= named


def test_a_search_of_other_fields_shows_these(workspace: Path) -> None:
    client, experiment = open_store(workspace)
    for width in (8, 16):
        run = client.create_run(experiment, tags={Tag.KIND: "trial", Tag.STUDY: "search_gears"}).info.run_id
        for name, value in {
            "gears.width": width,
            "model.tau": width,
            "data.split_seed": width,
            "a.b": 1,
        }.items():
            client.log_param(run, name, value)
    _, kept = views_of(workspace, "search_gears")
    view = kept["leaderboard.search_gears"]
    fields = [column for column in view["selectedColumns"] if column.startswith("params.")]
    assert fields == ["params.`model.tau`", "params.`gears.width`"]
    parallel = next(chart for chart in view["compareRunCharts"] if chart["type"] == "PARALLEL")
    assert parallel["selectedParams"] == ["model.tau", "gears.width"]


@pytest.mark.parametrize("view", ["studies", "leaderboard of search"])
def test_a_view_opens_the_run_table_and_not_the_pages_for_agents(view: str) -> None:
    address = view_address("1", 5000, view)
    assert address.startswith("http://127.0.0.1:5000/#/experiments/1/runs?")
    assert "workflowType=machine_learning" in address


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_served(port: int, process: subprocess.Popen[str], deadline_seconds: float = 90) -> int:
    tick, started = threading.Event(), time.monotonic()
    while time.monotonic() - started < deadline_seconds:
        assert process.poll() is None
        with contextlib.suppress(OSError):
            return int(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status)
        tick.wait(0.1)
    raise AssertionError("the page never came")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_pages_are_served_until_a_signal_ends_them_quietly(workspace: Path, number: signal.Signals) -> None:
    port = free_port()
    words = ["ui", "--workspace", str(workspace), "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from adapert.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert wait_until_served(port, process) == 200
        os.killpg(process.pid, number)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "viewStateShareKey=studies" in printed
    assert "Traceback" not in printed
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_a_killed_command_leaves_no_server(workspace: Path) -> None:
    port = free_port()
    words = ["ui", "--workspace", str(workspace), "--port", str(port)]
    command = [sys.executable, "-c", "from adapert.cli import main; main()", *words]
    process = subprocess.Popen(command, text=True)
    wait_until_served(port, process)
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(started, timeout=60)
    for stray in left:
        stray.kill()
    assert len(started) > 1
    assert left == []
