"""Figure 4: the full model without its context, without the non-DEG loss, and without both."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.designs import all_combinations
from adapert.study.plan.study import Design, Study
from studies.leave_one_out import COMPONENTS

VARIANTS: dict[str, dict[str, Any]] = all_combinations(
    {name: COMPONENTS[name] for name in ("context", "non_deg")}
)


def study(base: Config) -> Study:
    """Four variants, three seeds each."""
    return Study(
        name="ablation",
        question="What do the context and the non-DEG loss add, by effect size?",
        base=base,
        plan=Design(kind="ablation", variants=VARIANTS),
    )
