"""Every variant of the model next to the full one."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.study import Design, Study
from studies.ablation import CONTEXT_ONLY
from studies.ablation import VARIANTS as FIGURE_4
from studies.leave_one_out import COMPONENTS

VARIANTS: dict[str, dict[str, Any]] = (
    FIGURE_4
    | CONTEXT_ONLY
    | {
        "no_align": COMPONENTS["align"],
        "static_graph": {"model.context": "all_nodes"},
        "neighbourhood": {"model.context": "neighbourhood"},
        "random_context": {"model.context": "random"},
        "soft_context": {"model.selection": "soft"},
        "literal_eq13": {"model.selection": "literal"},
        "shuffled_text": COMPONENTS["text"],
        "rewired_graph": {"graph.edges": "rewired"},
        "no_graph": COMPONENTS["graph"],
        "no_messages": {"model.n_graph_layers": 0},
        "text_features": {"model.node_features": "text"},
        "no_spectral": {"model.node_features": "text+diffused"},
        "no_diffused": {"model.node_features": "text+spectral"},
        "structural_own": {"model.own_embedding": "structural"},
        "one_head": {"model.n_heads": 1},
        "one_layer": {"model.decoder_layers": 1},
        "free_output": {"model.output_basis": 0},
        "averaged_weights": {"training.weight_averaging": 0.99},
    }
)


def study(base: Config) -> Study:
    """Twenty-four variants, three seeds each; one that the base config already is, is left out."""
    variants = {
        name: changes
        for name, changes in VARIANTS.items()
        if not changes or base.with_changes(changes) != base
    }
    return Study(
        name="ablation_extended",
        question="Which parts of the model matter, and would a simpler context do?",
        base=base,
        plan=Design(kind="ablation", variants=variants),
    )
