"""The ablation path from the default config to a picked one: which of its changes matter?"""

from typing import Any

from adapert.config import Config
from adapert.study.plan.study import AblationPath, Study

BUDGET = ("training.max_epochs", "training.patience")
"""Fields that say how long a trial may train, the same all along the path."""


def study(base: Config) -> Study:
    """A round of configs a step, three seeds each."""
    return Study(
        name="ablation_path",
        question="Which changes from the default config made the picked one better?",
        base=base,
        plan=AblationPath(start=default_values(base)),
    )


def default_values(config: Config) -> dict[str, Any]:
    """List the defaults of the fields that a config sets otherwise, those of data and budget aside."""
    defaults = Config().with_changes({"model.name": config.model.name}).flat()
    return {
        field: defaults[field]
        for field, value in config.settings().items()
        if value != defaults[field] and field not in BUDGET and not field.startswith("data.")
    }
