"""PerturbedVAE (own construction) without each of its parts."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no_causal": {"perturbed_vae.latent_graph": "none"},
    "no_sparsity": {"perturbed_vae.mask": "none"},
    "no_alignment": {"perturbed_vae.alignment": "none"},
    "no_split": {"perturbed_vae.invariant_size": 0},
    "table": {"perturbed_vae.effects": "table"},
}


def study(base: Config) -> Study:
    """Six variants, three seeds each."""
    return Study(
        name="ablation_perturbed_vae",
        question="Which parts of PerturbedVAE (own construction) matter?",
        base=base.with_changes({"model.name": "perturbed_vae"}),
        plan=Design(kind="ablation", variants=VARIANTS),
    )
