"""Four short trials: does everything work on this machine and these data?"""

from adapert.config import Config
from adapert.study.plan.study import FixedRung, Search, Study
from search_spaces.adapert import SPACE


def study(base: Config) -> Study:
    """Four trials of at most ten epochs."""
    return Study(
        name="quickstart",
        question="Does everything work on this machine and these data?",
        base=base.with_changes({"training.max_epochs": min(10, base.training.max_epochs)}),
        plan=Search(space=SPACE, n_trials=4, first_rung=FixedRung(4)),
    )
