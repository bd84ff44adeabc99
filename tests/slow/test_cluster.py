"""A study on a simulated Ray cluster of several nodes with pretended GPUs."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixtures.launched import PLAIN
from rich.console import Console

from adapert.records import TrialStatus
from adapert.study.engine.events import EpochReported, Event, TrialEnded, TrialStarted, WorkerLost
from adapert.study.engine.folders import study_folder
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.limits import Limits
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Design, Study
from adapert.workspace.launch import build_base, launch
from adapert.workspace.session import StudyResult

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow

N_SEEDS = 5
"""More than there are GPUs."""

N_EPOCHS = 24
SLOW = PLAIN | {
    "training.max_epochs": N_EPOCHS,
    "training.patience": N_EPOCHS,
    "data.control": "cell",
    "training.minibatch_size": 2,
}


Survived = tuple[StudyResult, list[Event]]


@pytest.fixture(scope="module")
def cluster() -> "Iterator[Cluster]":
    """A head, and two nodes that pretend to have two GPUs each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.nodes = [made.add_node(num_cpus=8, num_gpus=2) for _ in range(2)]
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def survived(cluster: "Cluster", launchable: Path, tmp_path_factory: pytest.TempPathFactory) -> Survived:
    """Run a study, a quarter of a GPU a trial, and remove a node in its middle."""
    workspace = tmp_path_factory.mktemp("cluster") / "runs"
    base = build_base(launchable, None, SLOW)
    plan = Design(kind="ablation", variants={"full": {}}, n_seeds=N_SEEDS)
    study = Study(name="spread", question="Does it end whole?", base=base, plan=plan)
    ledger = study_folder(workspace, study.name) / LEDGER_FILE

    def remove_a_node() -> None:
        while not (ledger.is_file() and ledger.read_bytes().count(b'"started"') >= N_SEEDS):
            time.sleep(0.05)
        cluster.remove_node(cluster.nodes[0])

    removing = threading.Thread(target=remove_a_node)
    removing.start()
    resources = Resources(gpus_per_trial=0.25, address=cluster.address)
    try:
        result = launch(study, workspace, resources, Limits(), Console(quiet=True))
    finally:
        removing.join()
    return result, read_events(ledger)


def test_a_study_ends_whole_although_a_node_was_removed(survived: Survived) -> None:
    result, _ = survived
    assert result.count(TrialStatus.FINISHED) == N_SEEDS
    assert {record.n_epochs for record in result.records} == {N_EPOCHS}


def test_fractions_of_gpus_let_several_trials_run_at_once(survived: Survived) -> None:
    _, events = survived
    running: set[str] = set()
    most = 0
    for event in events:
        if isinstance(event, TrialStarted):
            running.add(event.trial)
        elif isinstance(event, TrialEnded | WorkerLost):
            running.discard(event.trial)
        most = max(most, len(running))
    assert most == N_SEEDS


def test_every_epoch_is_reported_once(survived: Survived) -> None:
    _, events = survived
    reported = [(e.trial, e.epoch) for e in events if isinstance(e, EpochReported)]
    assert len(reported) == len(set(reported)) == N_EPOCHS * N_SEEDS


def test_trials_that_lost_their_worker_went_on_from_a_checkpoint(survived: Survived) -> None:
    result, events = survived
    lost = {event.trial for event in events if isinstance(event, WorkerLost)}
    assert lost
    assert lost <= {record.trial_id for record in result.records if record.status == TrialStatus.FINISHED}


def test_nodes_that_do_not_see_the_data_are_sent_them(
    cluster: "Cluster", survived: Survived, launchable: Path, tmp_path: Path
) -> None:
    data = tmp_path / "prepared"
    shutil.copytree(launchable, data)
    base = build_base(data, None, {"training.max_epochs": 2})
    unpacked = Path(tempfile.gettempdir()) / f"adapert-{os.getuid()}-{base.data.fingerprint}"
    shutil.rmtree(unpacked, ignore_errors=True)
    plan = Design(kind="ablation", variants={"full": {}}, n_seeds=2)
    study = Study(name="shipped", question="Do the data arrive?", base=base, plan=plan)
    ledger = study_folder(tmp_path / "runs", study.name) / LEDGER_FILE

    def hide_the_data() -> None:
        while not (ledger.is_file() and b'"asked"' in ledger.read_bytes()):
            time.sleep(0.01)
        data.rename(tmp_path / "hidden")

    hiding = threading.Thread(target=hide_the_data)
    hiding.start()
    resources = Resources(gpus_per_trial=0.25, address=cluster.address, ships_data=True)
    try:
        result = launch(study, tmp_path / "runs", resources, Limits(), Console(quiet=True))
    finally:
        hiding.join()
        made = unpacked.is_dir()
        shutil.rmtree(unpacked, ignore_errors=True)
    assert [record.status for record in result.records] == [TrialStatus.FINISHED] * 2, result.records
    assert made
