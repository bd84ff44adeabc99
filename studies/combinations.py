"""Context, non-DEG loss and alignment loss in all combinations."""

from adapert.config import Config
from adapert.study.plan.designs import all_combinations
from adapert.study.plan.study import Design, Study
from studies.leave_one_out import COMPONENTS

CHOSEN = ("context", "non_deg", "align")


def study(base: Config) -> Study:
    """Eight variants, three seeds each."""
    return Study(
        name="combinations",
        question="Do context, non-DEG loss and alignment loss need each other?",
        base=base,
        plan=Design(kind="ablation", variants=all_combinations({name: COMPONENTS[name] for name in CHOSEN})),
    )
