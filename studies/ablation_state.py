"""STATE (own compact version) without what cells of a set tell each other, and without text."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.peers import published_config
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_attention": {"state.n_layers": 0},
    "one_cell": {"state.set_size": 1, "training.minibatch_size": 512},  # as many cells a step
    "no_text": {"data.embeddings": "none"},
    "shuffled_text": {"data.text_embedding": "shuffled"},
}


def study(base: Config) -> Study:
    """Five variants, three seeds each."""
    return Study(
        name="ablation_state",
        question="What are attention between cells, sets of them, and text worth to STATE?",
        base=published_config("state", base),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
