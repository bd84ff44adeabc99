"""Whether a study's trials can be trained in slots."""

from dataclasses import replace

from adapert.errors import InputError, name_some
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Study


def settle_slots(study: Study, resources: Resources) -> Resources:
    """Keep several slots for a study that has trials that can share a step.

    Returns:
        The resources; with one slot in place of ``"auto"`` where slots would gain nothing.

    Raises:
        InputError: Several slots were asked for, but no trial of the study can share a step.
    """
    if resources.slots == 1:
        return resources
    from adapert.training.slots import can_share

    configs = [study.base.with_changes(changes) for changes in study.plan.variants_changes]
    if any(map(can_share, configs)) and (resources.slots != "auto" or study.plan.size > 1):
        return resources
    if resources.slots == "auto":
        return replace(resources, slots=1)
    models = name_some(sorted({str(config.model.name) for config in configs}))
    raise InputError(
        f"--slots {resources.slots} needs trials that can share a step, but those of '{study.name}' cannot "
        f"(model {models}; docs/speed.md says which can). Leave --slots out, or give --slots 1."
    )
