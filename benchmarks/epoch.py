"""Seconds of a training epoch on means, and how many times longer the same epoch takes cell by cell."""

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from adapert.config import Config
from adapert.data.prepared import read_prepared
from adapert.training.loop import train, train_epoch
from adapert.training.state import Training
from benchmarks.measurement import Measurement, median_seconds, seconds_of
from benchmarks.simulated import prepared

N_EPOCHS = 6
"""Measured after one that warms caches up."""


def measure(scratch: Path) -> Iterator[Measurement]:
    """Train a few epochs on means, validation included, and one on cells, without it."""
    dataset = read_prepared(prepared(scratch))
    table = dataset.splits["train"].table
    training = Training(Config(), dataset, 0, torch.device("cpu"))
    epochs = train(training)
    next(epochs)
    whole = statistics.median(next(epochs).seconds for _ in range(N_EPOCHS))
    yield Measurement(
        name="epoch",
        value=whole,
        unit="s",
        target=2,
        note=f"{len(table.perturbations)} x {dataset.n_genes:,} genes, {dataset.n_nodes:,} nodes",
    )
    on_means = median_seconds([partial(train_epoch, training)] * N_EPOCHS)
    cell_config = Config().with_changes({"data.control": "cell"})
    on_cells = seconds_of(partial(train_epoch, Training(cell_config, dataset, 0, torch.device("cpu"))))
    yield Measurement(
        name="epoch_cell_by_cell",
        value=on_cells / on_means,
        unit="times",
        target=60,
        bound="at least",
        note=f"{on_cells:.0f} s for {len(dataset.splits['train'].cells):,} cells, {on_means:.2f} s on means",
    )
