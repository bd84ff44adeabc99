"""Figure 4: the full model without its context, without the non-DEG loss, and without both.

What the context adds depends on what else tells perturbations apart: the perturbed gene's own features, or,
as Eq. 3 reads to the letter, the context alone. So both readings are there.
"""

from typing import Any

from adapert.config import Config
from adapert.study.plan.designs import all_combinations
from adapert.study.plan.study import Design, Study
from studies.leave_one_out import COMPONENTS

VARIANTS: dict[str, dict[str, Any]] = all_combinations(
    {name: COMPONENTS[name] for name in ("context", "non_deg")}
)

CONTEXT_ONLY: dict[str, dict[str, Any]] = {
    "context_only": {"model.own_embedding": "none"},
    "context_only_no_context": {"model.own_embedding": "none"} | COMPONENTS["context"],
}
"""The same comparison without what the perturbed gene itself adds."""


def study(base: Config) -> Study:
    """Six variants, three seeds each; four of a model in which the context already stands alone."""
    other_reading = {} if base.model.own_embedding == "none" else CONTEXT_ONLY
    return Study(
        name="ablation",
        question="What do the context and the non-DEG loss add, by effect size?",
        base=base,
        plan=Design(kind="ablation", variants=VARIANTS | other_reading),
    )
