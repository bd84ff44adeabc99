"""A search that is launched again with the same seed, on Ray and without it."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest
from fixtures.launched import SEARCH, command

import adapert

pytestmark = pytest.mark.slow

TIMES = r"seconds|total_seconds|system/.*"
"""Columns in which two launches of the same study differ."""


def launch(directory: Path, name: str, prepared: Path, executor: str) -> pd.DataFrame:
    at_once = ("--max-concurrent", "1", "--executor", executor)
    line = command(directory, name, SEARCH, prepared, "--max-epochs", "4", *at_once)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    trials = adapert.load_trials("tiny_search", directory / f"{name} runs", columns="all")
    named = trials.drop(columns=trials.filter(regex=f"^({TIMES})$"))
    sorted_trials: pd.DataFrame = named.sort_values("model.tau", ignore_index=True)
    return sorted_trials


def test_the_same_seed_gives_the_same_configs_ends_and_numbers(launchable: Path) -> None:
    first, again, on_ray = (
        launch(launchable.parent, f"{executor} {number}", launchable, executor)
        for number, executor in enumerate(("local", "local", "ray"))
    )
    pd.testing.assert_frame_equal(first, again, check_exact=True, check_like=True)
    pd.testing.assert_frame_equal(first, on_ray, check_exact=True, check_like=True)
    assert first["model.tau"].nunique() == 3
