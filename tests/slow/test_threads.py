"""A study that is launched from another thread than the main one, as servers and notebooks do."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import adapert
from adapert.records import TrialStatus

pytestmark = pytest.mark.slow


def test_a_study_runs_in_a_thread_where_python_lets_nobody_handle_signals(
    launchable: Path, tmp_path: Path
) -> None:
    options = {"changes": {"training.max_epochs": 2}, "executor": "ray"}
    with ThreadPoolExecutor(1) as pool:
        launched = pool.submit(adapert.launch, "single", data=launchable, workspace=tmp_path, **options)
        result = launched.result()
    assert [record.status for record in result.records] == [TrialStatus.FINISHED]
