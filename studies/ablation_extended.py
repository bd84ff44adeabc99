"""Every variant of the model beside the full one."""

from typing import Any

from adapert.config import Config
from adapert.study.study import Design, Study
from studies.ablation import VARIANTS as FIGURE_4

VARIANTS: dict[str, dict[str, Any]] = FIGURE_4 | {
    "no_align": {"loss.lambda_align": 0.0},
    "static_graph": {"model.context": "all_nodes"},
    "neighbourhood": {"model.context": "neighbourhood"},
    "random_context": {"model.context": "random"},
    "soft_context": {"model.selection": "soft"},
    "literal_eq13": {"model.selection": "literal"},
    "shuffled_text": {"data.text_embedding": "shuffled"},
    "rewired_graph": {"graph.edges": "rewired"},
    "no_graph": {"model.n_graph_layers": 0},
}


def study(base: Config) -> Study:
    """Thirteen variants, three seeds each."""
    return Study(
        name="ablation_extended",
        question="Which parts of the model matter, and would a simpler context do?",
        base=base,
        plan=Design(kind="ablation", variants=VARIANTS),
    )
