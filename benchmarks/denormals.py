"""How much longer an epoch of a sharply selecting config takes where denormal gradients are kept."""

import inspect
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from adapert.config import Config
from adapert.data.prepared import read_prepared
from adapert.training.loop import train_at, train_epoch
from adapert.training.state import Training
from benchmarks.measurement import Measurement, seconds_of
from benchmarks.simulated import prepared_responses

SHARP = {"model.tau": 0.15, "model.threshold": 19.0}
"""The values that searches on K562 picked."""

N_BEFORE = 60
"""Epochs after which the selection has saturated."""

N_EPOCHS = 5
"""Measured of each kind, in turn."""


def measure(scratch: Path) -> Iterator[Measurement]:
    """Train until the selection has saturated, then epochs with and without denormals in turn."""
    dataset = read_prepared(prepared_responses(scratch))
    training = Training(Config().with_changes(SHARP), dataset, 0, torch.device("cpu"))
    train_at(training, [training.config.training.learning_rate] * N_BEFORE)
    kept = inspect.unwrap(train_epoch)
    pairs = [[seconds_of(partial(epoch, training)) for epoch in (train_epoch, kept)] for _ in range(N_EPOCHS)]
    flushed, with_denormals = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield Measurement(
        name="denormals",
        value=with_denormals / flushed,
        unit="times",
        note=f"{with_denormals:.2f} s with denormals, {flushed:.2f} s without, after {N_BEFORE} epochs",
    )
