"""A study killed at random moments; the long version is ``python -m benchmarks kills``."""

from typing import Any

import pytest

from benchmarks.kills import TARGETS, break_study, describe, finish, launch_words, prepare_small, start

pytestmark = pytest.mark.slow
SIZE = 6, 25
N_KILLS = {"ray": 3, "local": 2}

WholeAndBroken = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module", params=N_KILLS)
def whole_and_broken(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> WholeAndBroken:
    executor, folder = request.param, tmp_path_factory.mktemp("kills")
    prepared, log = prepare_small(folder), folder / "log"
    whole, broken = folder / "whole", folder / "broken"
    finish(start(launch_words(prepared, whole, *SIZE, executor), log), log)
    words = launch_words(prepared, broken, *SIZE, executor)
    kills = break_study(words, broken, N_KILLS[executor], seed=1, log=log, executor=executor)
    assert {kill.target for kill in kills} == set(TARGETS[executor])
    assert [path for path in broken.rglob("ray") if path.is_dir()] == []
    return describe(whole), describe(broken)


@pytest.mark.parametrize("where", ["ledger", "optuna", "mlflow"])
def test_a_study_that_was_killed_ends_as_one_that_was_left_alone(
    whole_and_broken: WholeAndBroken, where: str
) -> None:
    whole, broken = whole_and_broken
    assert broken[where] == whole[where]


def test_every_trial_that_was_asked_for_is_there(whole_and_broken: WholeAndBroken) -> None:
    assert len(whole_and_broken[1]["ledger"]) == SIZE[0]
