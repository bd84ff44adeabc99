"""One config as it is: what `adapert train` runs."""

from adapert.config import Config
from adapert.study.plan.study import Design, Study


def study(base: Config) -> Study:
    """The config itself, one seed."""
    return Study(
        name="single",
        question="How well does this config predict held-out perturbations?",
        base=base,
        plan=Design(kind="ablation", variants={"full": {}}, n_seeds=1),
    )
