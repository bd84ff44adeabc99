"""TxPert without each of its parts, with each of its layers, and with AdaPert's non-DEG loss."""

from typing import Any

from adapert.config import Config, LossConfig
from adapert.study.plan.peers import published_config
from adapert.study.plan.study import Design, Study
from studies.search_txpert import BUDGET

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_basal": {"txpert.basal": "none"},
    "no_graph": {"txpert.n_layers": 0},
    "gat": {"txpert.layer": "gat"},
    "hybrid": {"txpert.layer": "hybrid"},
    "multilayer": {"txpert.layer": "multilayer"},
    "exphormer": {"txpert.layer": "exphormer"},
    "global_control": {"data.control": "mean"},
    "with_non_deg": {"txpert.lambda_non": LossConfig().lambda_non},
}


def study(base: Config) -> Study:
    """Nine variants, three seeds each."""
    return Study(
        name="ablation_txpert",
        question="Which parts of TxPert matter, and would AdaPert's non-DEG loss help it?",
        base=published_config("txpert", base, BUDGET),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
