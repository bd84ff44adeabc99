"""How long an epoch of each system takes beside one of AdaPert, in published forms, on means where it can."""

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from adapert.config import Config
from adapert.data.prepared import read_prepared
from adapert.models.networks import NETWORKS
from adapert.study.plan.peers import published_config
from adapert.training.loop import train_epoch
from adapert.training.state import Training
from benchmarks.measurement import Measurement, seconds_of
from benchmarks.simulated import prepared

ON_MEANS = {"perturbed_vae.rows": "means", "morph.rows": "means"}
"""What lets systems that would take single cells take their means; those of cells alone take cells."""

N_ROUNDS = 5
"""Measured after one that compiles, and warms caches up."""


def measure(scratch: Path) -> Iterator[Measurement]:
    """Train every system for an epoch in turn, without validation, so that all meet the same machine."""
    dataset = read_prepared(prepared(scratch))
    trainings = {
        name: Training(
            published_config(name, Config().with_changes(ON_MEANS)), dataset, 0, torch.device("cpu")
        )
        for name in NETWORKS
    }
    rounds = [
        {name: seconds_of(partial(train_epoch, training)) for name, training in trainings.items()}
        for _ in range(1 + N_ROUNDS)
    ]
    seconds = {name: statistics.median(each[name] for each in rounds[1:]) for name in trainings}
    for name, training in trainings.items():
        yield Measurement(
            name=f"epoch_of_{name}",
            value=seconds[name] / seconds["adapert"],
            unit="times",
            note=f"{seconds[name]:.2f} s, {training.resolved['n_parameters']:,.0f} parameters",
        )
