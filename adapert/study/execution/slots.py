"""Whether a study's trials gain by slots."""

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from adapert.config import Config
from adapert.data.manifest import read_manifest
from adapert.errors import InputError, name_some
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Study

_LOGGER = logging.getLogger(__name__)


def useful_slots(study: Study, resources: Resources) -> Resources:
    """Replace several slots by one where no trial of a study can share a step with another.

    A number that was asked for is not refused but warned of: one option serves all searches of a comparison.
    """
    if resources.slots == 1:
        return resources
    from adapert.training.slots import can_share

    configs = [study.base.with_changes(changes) for changes in study.plan.variants_changes]
    is_shared = any(can_share(config) and not _reads_cells(config) for config in configs)
    if is_shared and (resources.slots != "auto" or study.plan.size > 1):
        return resources
    if resources.slots != "auto":
        models = name_some(sorted({str(config.model.name) for config in configs}))
        _LOGGER.warning(
            f"--slots {resources.slots} changes nothing for '{study.name}': none of its trials can share a "
            f"step with another (model {models}; docs/speed.md says which can)."
        )
    return replace(resources, slots=1)


def _reads_cells(config: Config) -> bool:
    """Whether a model that can be of cells or of means is of cells: by its config, or by its data set."""
    if config.rows == "auto":
        with suppress(InputError):  # a data set that cannot be read is refused by its trials
            return read_manifest(Path(config.data.path)).kind == "cells"
    return config.rows == "cells"
