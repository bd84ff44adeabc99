"""Every model without epochs next to AdaPert: is it worth its training?"""

from typing import Any, get_args

from adapert.config import Config, ModelName, is_network
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {"full": {}} | {
    name: {"model.name": name} for name in get_args(ModelName) if not is_network(name)
}


def study(base: Config) -> Study:
    """AdaPert and the others, three seeds each; only AdaPert's fits differ by seed."""
    return Study(
        name="references",
        question="Does AdaPert predict better than models that need no training by epochs?",
        base=base,
        plan=Design(kind="ablation", variants=VARIANTS),
    )
