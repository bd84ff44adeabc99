"""scVI (own compact version) with text for unseen genes, without its prior, deeper, and without dropout."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.peers import published_config
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "text": {"scvi.unseen": "text"},
    "no_kl": {"scvi.beta": 0.0},
    "two_layers": {"scvi.n_layers": 2},
    "no_dropout": {"scvi.dropout": 0.0},
}


def study(base: Config) -> Study:
    """Five variants, three seeds each."""
    return Study(
        name="ablation_scvi",
        question="What would text tell scVI (own compact version), and what are its parts worth?",
        base=published_config("scvi", base),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
