"""`adapert pick` killed while it trains the best configs anew, and typed again."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from fixtures.launched import SEARCH, command

from adapert.config import read_config
from adapert.judgement import pick_reevaluated
from adapert.results.find import open_study

pytestmark = pytest.mark.slow

WORDS = ("--top", "2", "--fresh-seeds", "2", "--redraws", "1", "--max-concurrent", "1")
N_TRIALS = 3
"""The search has one config that finished."""


def search(directory: Path, name: str, prepared: Path) -> Path:
    line = command(directory, name, SEARCH, prepared, "--max-epochs", "4", "--max-concurrent", "1")
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return directory / f"{name} runs"


def start(workspace: Path, adapert: str) -> "subprocess.Popen[bytes]":
    line = [adapert, "pick", "tiny_search", "--out", str(workspace / "best.yaml"), *WORDS]
    return subprocess.Popen(
        [*line, "--workspace", str(workspace)], stdout=subprocess.DEVNULL, start_new_session=True
    )


def test_a_pick_that_was_killed_and_typed_again_is_that_of_one_left_alone(launchable):
    directory = launchable.parent
    adapert = command(directory, "whole pick", SEARCH, launchable)[0]
    workspaces = [search(directory, name, launchable) for name in ("whole pick", "broken pick")]
    assert start(workspaces[0], adapert).wait() == 0
    killed = start(workspaces[1], adapert)
    ledger = workspaces[1] / "studies" / "tiny_search_reevaluation" / "ledger.jsonl"
    while not ledger.exists() or ledger.read_text().count('"ended"') < 2:
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (workspaces[1] / "best.yaml").exists()
    assert start(workspaces[1], adapert).wait() == 0
    whole, broken = (pick_reevaluated(each, open_study(each, "tiny_search")) for each in workspaces)
    pd.testing.assert_frame_equal(whole.reevaluated, broken.reevaluated)
    assert whole.config == broken.config == read_config(workspaces[1] / "best.yaml")
    trials = open_study(workspaces[1], "tiny_search_reevaluation").frame
    assert len(trials) == N_TRIALS
    assert not trials.duplicated(["variant", "seed"]).any()
