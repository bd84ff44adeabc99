import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import optuna
import pytest
from fixtures.ledger import HandMade, MakeLedger
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from rich.console import Console

from adapert.errors import InputError
from adapert.records import EndReason, TrialStatus
from adapert.study.engine.events import ConfigCompleted
from adapert.study.plan.plans import Search
from adapert.workspace.optuna_pages import fill_storage, serve_optuna

SPACE = Search(kind="search", space={"model.tau": FloatDistribution(0.1, 1.0)}, n_trials=4)


def make_search(make_ledger: MakeLedger) -> HandMade:
    """One config finished, one was stopped, one failed, and one was left without an end."""
    made = make_ledger("search", SPACE)
    made.opened()
    ends = [
        (TrialStatus.FINISHED, EndReason.EPOCHS, "COMPLETE", 0.6),
        (TrialStatus.STOPPED, EndReason.RUNG, "PRUNED", 0.4),
        (TrialStatus.FAILED, EndReason.ERROR, "FAIL", None),
    ]
    for number, (status, reason, state, value) in enumerate(ends):
        trial, tau = f"00{number + 1}", 0.1 * (number + 1)
        made.asked(trial, "search", changes={"model.tau": tau}, suggested={"model.tau": tau}, number=number)
        made.reported(trial, 1, 0.3)
        made.reported(trial, 2, value)
        made.ended(trial, status, reason)
        made.say(ConfigCompleted, number=number, state=state, value=value, epoch=2, is_infeasible=False)
    made.asked("004", "search", changes={"model.tau": 0.9}, suggested={"model.tau": 0.9}, number=3)
    return made


def test_the_dashboard_s_storage_has_what_the_ledger_says(make_ledger: MakeLedger, tmp_path: Path) -> None:
    make_search(make_ledger)
    make_ledger("ablation")
    storage = fill_storage(tmp_path / "runs")
    assert optuna.get_all_study_names(storage) == ["search"]
    study = optuna.load_study(study_name="search", storage=storage)
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert [trial.state for trial in study.trials] == states
    assert [trial.params["model.tau"] for trial in study.trials] == pytest.approx([0.1, 0.2, 0.3, 0.9])
    assert (study.best_trial.value, study.best_trial.user_attrs["trials"]) == (0.6, "001")
    assert study.trials[1].intermediate_values == {1: 0.3, 2: 0.4}
    assert study.trials[1].user_attrs["ends"] == "rung"


def test_what_the_dashboard_deletes_stays_in_the_workspace(make_ledger: MakeLedger, tmp_path: Path) -> None:
    made = make_search(make_ledger)
    before = made.path.read_bytes()
    optuna.delete_study(study_name="search", storage=fill_storage(tmp_path / "runs"))
    assert made.path.read_bytes() == before
    assert optuna.get_all_study_names(fill_storage(tmp_path / "runs")) == ["search"]


def test_a_workspace_without_a_search_is_refused(make_ledger: MakeLedger, tmp_path: Path) -> None:
    make_ledger("ablation")
    with pytest.raises(InputError, match=r"shows searches, but '.*runs' has none\. Launch one first"):
        fill_storage(tmp_path / "runs")


def test_a_port_that_is_taken_is_refused(make_ledger: MakeLedger, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="an extra")
    make_search(make_ledger)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"needs a free port, but {port} is taken"):
            serve_optuna(tmp_path / "runs", port, Console())


def test_without_the_extra_the_cure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(InputError, match=r"not installed\. Run: pip install 'optuna-dashboard>=0"):
        serve_optuna(tmp_path, 5000, Console())


@pytest.mark.slow
def test_the_dashboard_serves_its_api_until_a_signal_ends_it(make_ledger: MakeLedger, tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="an extra")
    make_search(make_ledger)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["ui", "--optuna", "--workspace", "runs", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from adapert.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        printed = process.stdout.readline() + process.stdout.readline()
        address = f"http://127.0.0.1:{port}"
        assert f"search: {address}/dashboard/studies/0\n" in printed
        with urllib.request.urlopen(f"{address}/api/studies", timeout=60) as answer:
            (summary,) = json.load(answer)["study_summaries"]
        assert summary["study_name"] == "search"
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, rest) == (0, "")
