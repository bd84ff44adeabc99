"""Every variant of the model next to the full one."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.study import Design, Study
from studies.ablation import VARIANTS as FIGURE_4
from studies.leave_one_out import COMPONENTS

VARIANTS: dict[str, dict[str, Any]] = FIGURE_4 | {
    "no_align": COMPONENTS["align"],
    "static_graph": {"model.context": "all_nodes"},
    "neighbourhood": {"model.context": "neighbourhood"},
    "random_context": {"model.context": "random"},
    "soft_context": {"model.selection": "soft"},
    "literal_eq13": {"model.selection": "literal"},
    "shuffled_text": COMPONENTS["text"],
    "rewired_graph": {"graph.edges": "rewired"},
    "no_graph": COMPONENTS["graph"],
}


def study(base: Config) -> Study:
    """Thirteen variants, three seeds each."""
    return Study(
        name="ablation_extended",
        question="Which parts of the model matter, and would a simpler context do?",
        base=base,
        plan=Design(kind="ablation", variants=VARIANTS),
    )
