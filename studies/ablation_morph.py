"""MORPH (own compact version) without its programs, its prior or its text, and on mean responses."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.peers import published_config
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_attention": {"morph.n_layers": 0},
    "no_kl": {"morph.beta": 0.0},
    "means": {"morph.rows": "means"},
    "no_text": {"data.embeddings": "none"},
}


def study(base: Config) -> Study:
    """Five variants, three seeds each."""
    return Study(
        name="ablation_morph",
        question="What are MORPH's gene programs, its prior, single cells and text worth?",
        base=published_config("morph", base),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
