"""What an executor hands to a trial."""

from pathlib import Path

from adapert.records import TrialRecord
from adapert.study.engine.trial_files import trial_folder
from adapert.study.execution.resources import Resources
from adapert.study.execution.trainer import TrialSettings
from adapert.study.plan.study import Study


def trial_settings(record: TrialRecord, study: Study, folder: Path, resources: Resources) -> TrialSettings:
    """What a trial needs to know; the study's `folder` is absolute."""
    return TrialSettings(
        trial_id=record.trial_id,
        study=study.name,
        variant=record.variant,
        seed=record.seed,
        config=study.base.with_changes(record.changes).flat(),
        folder=str(trial_folder(folder, record.trial_id)),
        device=resources.device,
        n_threads=resources.cpus_per_trial,
        gpu_share=resources.gpus_per_trial,
    )
