"""CPA (own compact version) with text for unseen genes, without its adversary, and without its penalty."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.peers import published_config
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "text": {"cpa.unseen": "text"},
    "no_adversary": {"cpa.lambda_adversary": 0.0},
    "no_penalty": {"cpa.gradient_penalty": 0.0},
}


def study(base: Config) -> Study:
    """Four variants, three seeds each."""
    return Study(
        name="ablation_cpa",
        question="What would text tell CPA (own compact version), and what is its adversary worth?",
        base=published_config("cpa", base),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
