"""Every reference model next to AdaPert: is it worth its training?"""

from typing import Any

from adapert.config import Config
from adapert.models.reference import REFERENCE_MODELS
from adapert.study.plan.study import Design, Study

VARIANTS: dict[str, dict[str, Any]] = {"full": {}} | {name: {"model.name": name} for name in REFERENCE_MODELS}


def study(base: Config) -> Study:
    """AdaPert and the reference models, three seeds each; only AdaPert's fits differ by seed."""
    return Study(
        name="references",
        question="Does AdaPert predict better than models that need no training by epochs?",
        base=base,
        plan=Design(kind="ablation", variants=VARIANTS),
    )
