"""A study killed at random moments; the long version is ``python -m benchmarks kills``."""

from typing import Any

import pytest

from benchmarks.kills import Kill, break_study, describe, finish, launch_words, prepare_small, start

pytestmark = pytest.mark.slow
SIZE = 6, 25

WholeAndBroken = tuple[dict[str, Any], dict[str, Any], list[Kill]]


@pytest.fixture(scope="module")
def whole_and_broken(tmp_path_factory: pytest.TempPathFactory) -> WholeAndBroken:
    folder = tmp_path_factory.mktemp("kills")
    prepared, log = prepare_small(folder), folder / "log"
    whole, broken = folder / "whole", folder / "broken"
    finish(start(launch_words(prepared, whole, *SIZE), log), log)
    kills = break_study(launch_words(prepared, broken, *SIZE), broken, n_kills=3, seed=1, log=log)
    return describe(whole), describe(broken), kills


def test_driver_worker_and_both_were_killed(whole_and_broken: WholeAndBroken) -> None:
    assert {kill.target for kill in whole_and_broken[2]} == {"driver", "worker", "both"}


@pytest.mark.parametrize("where", ["ledger", "optuna", "mlflow"])
def test_a_study_that_was_killed_ends_as_one_that_was_left_alone(
    whole_and_broken: WholeAndBroken, where: str
) -> None:
    whole, broken, _ = whole_and_broken
    assert broken[where] == whole[where]


def test_every_trial_that_was_asked_for_is_there(whole_and_broken: WholeAndBroken) -> None:
    assert len(whole_and_broken[1]["ledger"]) == SIZE[0]
