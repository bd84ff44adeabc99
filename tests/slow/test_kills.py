"""A study killed at random moments; the long version is ``python -m benchmarks kills``."""

from typing import Any

import pytest

from benchmarks.kills import (
    ROUNDING,
    TARGETS,
    break_study,
    describe,
    finish,
    is_alike,
    launch_words,
    prepare_small,
    start,
)

pytestmark = pytest.mark.slow
SIZE = 6, 25
N_KILLS = {"ray": 3, "local": 2}

WholeAndBroken = tuple[dict[str, Any], dict[str, Any], float]
"""What each study left, and how far their numbers may be apart."""


@pytest.fixture(scope="module", params=[(executor, n_slots) for n_slots in (1, 3) for executor in N_KILLS])
def whole_and_broken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> WholeAndBroken:
    (executor, n_slots), folder = request.param, tmp_path_factory.mktemp("kills")
    prepared, log = prepare_small(folder), folder / "log"
    whole, broken = folder / "whole", folder / "broken"
    finish(start(launch_words(prepared, whole, *SIZE, executor, n_slots), log), log)
    words = launch_words(prepared, broken, *SIZE, executor, n_slots)
    kills = break_study(words, broken, N_KILLS[executor], seed=1, log=log, executor=executor)
    assert {kill.target for kill in kills} == set(TARGETS[executor])
    assert [path for path in broken.rglob("ray") if path.is_dir()] == []
    return describe(whole), describe(broken), 0.0 if n_slots == 1 else ROUNDING


@pytest.mark.parametrize("where", ["ledger", "optuna", "mlflow"])
def test_a_study_that_was_killed_ends_as_one_that_was_left_alone(
    whole_and_broken: WholeAndBroken, where: str
) -> None:
    whole, broken, tolerance = whole_and_broken
    assert is_alike(broken[where], whole[where], tolerance)


def test_every_trial_that_was_asked_for_is_there(whole_and_broken: WholeAndBroken) -> None:
    assert len(whole_and_broken[1]["ledger"]) == SIZE[0]
