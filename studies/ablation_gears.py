"""GEARS without each of its graphs, its cross-gene state and its fourth power; and with a direction loss."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.peers import published_config
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_network": {"gears.n_network_layers": 0},
    "no_coexpression": {"gears.n_coexpression_layers": 0},
    "no_cross_gene": {"gears.cross_gene": False},
    "squared_error": {"gears.exponent": 2},
    "tanh_direction": {"gears.direction": "tanh"},
}


def study(base: Config) -> Study:
    """Six variants, three seeds each."""
    return Study(
        name="ablation_gears",
        question="What are GEARS' graphs, its cross-gene state and its fourth power worth?",
        base=published_config("gears", base),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
