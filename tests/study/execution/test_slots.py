from collections.abc import Mapping
from typing import Any

import pytest

from adapert.config import Config
from adapert.errors import InputError
from adapert.study.execution.resources import Resources
from adapert.study.execution.slots import settle_slots
from adapert.study.plan.study import Design, Study

HERE = Resources(executor="local", slots=8)
ON_GPU = Resources(device="cuda", gpus_per_trial=1.0, slots="auto")


def study_of(*variants: Mapping[str, Any], n_seeds: int = 2) -> Study:
    named = {str(number): changes for number, changes in enumerate(variants)}
    plan = Design(kind="ablation", variants=named, n_seeds=n_seeds)
    return Study(name="slotted", question="?", base=Config(), plan=plan)


ALONE: tuple[dict[str, Any], ...] = (
    {"model.name": "gears"},
    {"model.name": "mean"},
    {"data.control": "cell"},
)


def test_slots_that_some_trials_share_stay() -> None:
    for resources in (HERE, ON_GPU, Resources()):
        assert settle_slots(study_of({}, *ALONE), resources) == resources


@pytest.mark.parametrize("changes", ALONE)
def test_slots_that_no_trial_can_share_are_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"--slots 8 needs trials that can share a step, .* 'slotted' cannot"
    ):
        settle_slots(study_of(changes), HERE)
    assert settle_slots(study_of(changes), ON_GPU).slots == 1


def test_one_trial_needs_no_probe() -> None:
    assert settle_slots(study_of({}, n_seeds=1), ON_GPU).slots == 1
