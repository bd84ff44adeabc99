"""Each component of the model taken away by itself."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.designs import leave_one_out
from adapert.study.plan.study import Design, Study

COMPONENTS: dict[str, dict[str, Any]] = {
    "context": {"model.context": "constant"},
    "non_deg": {"loss.lambda_non": 0.0},
    "align": {"loss.lambda_align": 0.0},
    "text": {"data.text_embedding": "shuffled"},
    "graph": {"graph.networks": "none", "model.n_graph_layers": 0},
}
"""Part of the model to the changes that take it away."""


def study(base: Config) -> Study:
    """Six variants, three seeds each."""
    return Study(
        name="leave_one_out",
        question="What is each component worth in addition to all others?",
        base=base,
        plan=Design(kind="ablation", variants=leave_one_out(COMPONENTS)),
    )
