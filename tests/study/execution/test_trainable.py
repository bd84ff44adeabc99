from pathlib import Path

import pytest
from ray.tune.utils import flatten_dict

from adapert.config import Config
from adapert.records import IS_OVER
from adapert.study.execution.trainable import REPORT, TrialTrainable, read_report
from adapert.study.execution.trainer import TrialSettings, TrialTrainer

SMALL = {"model.structural_size": 8, "model.latent_size": 8, "model.hidden_size": 16}


def settings_of(folder: Path, prepared: Path, seed: int) -> TrialSettings:
    config = Config().with_changes(SMALL | {"training.max_epochs": 2, "data.path": str(prepared)})
    return TrialSettings("001", "try", "full", seed, config.flat(), str(folder / str(seed)))


def objectives(trial: TrialTrainable | TrialTrainer) -> list[tuple[float, bool]]:
    reports = [trial.step() for _ in range(2)]
    reports = [report.get(REPORT, report) for report in reports]
    return [(report["best_pearson_delta"], report[IS_OVER]) for report in reports]


def test_a_report_is_read_from_what_tune_hands_on_without_its_bookkeeping() -> None:
    report = {"epoch": 1, "rank": 2.5, "system/cpu_utilization_percentage": 50.0, "pid": 3.0, IS_OVER: False}
    assert read_report(flatten_dict({REPORT: report, "pid": 7, "config": {"trial": "001"}})) == report


def test_an_actor_s_trials_report_as_a_trainer_s(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without Tune around it, Ray gives every Trainable a folder below the home directory.
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path))
    trainer = TrialTrainer()
    first, second = (settings_of(tmp_path / "actor", prepared, seed) for seed in (1, 2))
    actor = TrialTrainable(config={"settings": first.to_text()})
    found = [objectives(actor)]
    assert actor.reset({"settings": second.to_text()})
    found.append(objectives(actor))
    for seed, reported in zip((1, 2), found, strict=True):
        trainer.take(settings_of(tmp_path / "here", prepared, seed))
        assert objectives(trainer) == reported
