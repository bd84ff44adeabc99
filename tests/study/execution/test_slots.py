from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from fixtures.dataset import write_prepared

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import resolve_rows
from adapert.study.execution.resources import Resources
from adapert.study.execution.slots import useful_slots
from adapert.study.plan.study import Design, Study

HERE = Resources(executor="local", slots=8)
ON_GPU = Resources(device="cuda", gpus_per_trial=1.0, slots="auto")


def study_of(*variants: Mapping[str, Any], n_seeds: int = 2) -> Study:
    named = {str(number): changes for number, changes in enumerate(variants)}
    plan = Design(kind="ablation", variants=named, n_seeds=n_seeds)
    return Study(name="slotted", question="?", base=Config(), plan=plan)


ALONE: tuple[dict[str, Any], ...] = (
    {"model.name": "gears"},
    {"model.name": "mean"},
    {"data.control": "cell"},
    {"model.name": "perturbed_vae", "perturbed_vae.rows": "cells"},
)


def test_slots_that_some_trials_share_stay() -> None:
    for resources in (HERE, ON_GPU, Resources()):
        assert useful_slots(study_of({}, *ALONE), resources) == resources


@pytest.mark.parametrize("changes", ALONE)
def test_slots_that_no_trial_can_share_are_one_with_a_warning_where_they_were_asked_for(
    changes: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert useful_slots(study_of(changes), ON_GPU).slots == 1
    assert not caplog.messages
    assert useful_slots(study_of(changes), HERE) == replace(HERE, slots=1)
    (message,) = caplog.messages
    assert message.startswith("--slots 8 changes nothing for 'slotted': none of its trials can share a step")
    assert changes.get("model.name", "adapert") in message


@pytest.mark.parametrize("kind", ["cells", "responses"])
def test_a_model_of_cells_or_means_shares_steps_where_its_data_are_responses(
    tiny_dataset: PreparedDataset, tmp_path: Path, kind: Literal["cells", "responses"]
) -> None:
    manifest, shared = replace(tiny_dataset.manifest, kind=kind), tiny_dataset.shared
    if kind == "responses":
        shared = replace(shared, control_mean=np.zeros_like(shared.control_mean))
    dataset = replace(tiny_dataset, manifest=manifest, shared=shared)
    assert resolve_rows(shared, "auto") == ("means" if kind == "responses" else "cells")
    write_prepared(dataset, tmp_path / "data")
    changes = {"model.name": "perturbed_vae", "data.path": str(tmp_path / "data")}
    assert useful_slots(study_of(changes), ON_GPU).slots == ("auto" if kind == "responses" else 1)


def test_one_trial_needs_no_probe() -> None:
    assert useful_slots(study_of({}, n_seeds=1), ON_GPU).slots == 1
