"""A study whose MLflow server and search storage are on PostgreSQL, with the server gone for a while."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from fixtures.launched import LOCAL, SEARCH, SET_PLAIN, command
from fixtures.servers import MlflowServer
from mlflow.tracking import MlflowClient

from adapert.records import EXPERIMENT, Tag
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.state import fold
from adapert.tracking.tracker import count_waiting

pytestmark = pytest.mark.slow
PASSWORD = "never%20written"
SLOW_ENOUGH = (
    "--max-epochs",
    "30",
    "--set",
    "data.control=cell",
    "--set",
    "training.minibatch_size=2",
    *SET_PLAIN,
)


Studied = tuple[str, int, subprocess.CompletedProcess[str], str, Path]
"""What the command said, lines that MLflow lacked, how the delivery ended, MLflow's address, the ledger."""


@pytest.fixture(scope="module")
def studied(launchable: Path, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studied]:
    """Run a study whose MLflow server is killed in its middle and comes back; then deliver what is left."""
    folder = tmp_path_factory.mktemp("postgres")
    server = MlflowServer(f"{postgres}mlflow", folder)
    server.start()
    with_password = f"{postgres}optuna".replace("adapert@", f"adapert:{PASSWORD}@")
    stores = ("--tracking-uri", server.address, "--optuna-storage", with_password)
    process = subprocess.Popen(
        command(folder, "pg", SEARCH, launchable, *LOCAL, *stores, *SLOW_ENOUGH),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    workspace = folder / "pg runs"
    ledger = workspace / "studies" / "tiny_search" / LEDGER_FILE
    tick = threading.Event()
    while not (ledger.is_file() and ledger.read_bytes().count(b'"reported"') > 5):
        assert process.poll() is None, process.communicate()[0]
        tick.wait(0.02)
    server.kill()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    events = read_events(ledger)
    n_waiting = count_waiting(ledger.parent, events)
    server.start()
    sync = [
        str(Path(sys.executable).with_name("adapert")),
        "sync",
        "tiny_search",
        "--workspace",
        str(workspace),
    ]
    synced = subprocess.run(sync, capture_output=True, text=True)
    yield out, n_waiting, synced, server.address, ledger
    server.kill()


def test_a_study_ends_whole_while_its_tracking_server_is_gone(studied: Studied) -> None:
    out, n_waiting, _, _, ledger = studied
    assert n_waiting > 0
    assert f"MLflow lacks {n_waiting:,} lines. Deliver with: adapert sync tiny_search" in out
    assert len(fold(read_events(ledger)).running) == 0


def test_sync_delivers_every_report_once_and_in_order(studied: Studied) -> None:
    *_, synced, address, ledger = studied
    assert synced.returncode == 0, synced.stdout + synced.stderr
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    state = fold(read_events(ledger))
    assert sorted(run.data.tags[Tag.TRIAL] for run in runs if Tag.TRIAL in run.data.tags) == sorted(
        state.records
    )
    assert "RUNNING" not in {run.info.status for run in runs}
    for run in runs:
        if Tag.TRIAL in run.data.tags:
            record = state.records[run.data.tags[Tag.TRIAL]]
            history = client.get_metric_history(run.info.run_id, "best_pearson_delta")
            assert [metric.step for metric in history] == list(range(1, record.n_epochs + 1))


def test_optuna_has_the_study_in_its_database(studied: Studied, postgres: str) -> None:
    ledger = studied[-1]
    study = optuna.load_study(study_name="tiny_search", storage=f"{postgres}optuna")
    assert len(study.trials) == len(fold(read_events(ledger)).completed) == 3
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}


def test_a_password_of_the_searchs_storage_is_written_nowhere(studied: Studied, postgres: str) -> None:
    out, *_, ledger = studied
    spellings = (PASSWORD.encode(), PASSWORD.replace("%20", " ").encode())
    files = [path for path in ledger.parents[2].rglob("*") if path.is_file()]
    assert ledger in files
    assert [path for path in files if any(each in path.read_bytes() for each in spellings)] == []
    assert not any(each.decode() in out for each in spellings)
    assert fold(read_events(ledger)).definition.optuna_storage == f"{postgres}optuna"
