"""The share of a training step that scoring and selecting the context takes, forward and backward."""

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from adapert.config import Config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.training.loop import train_epoch
from adapert.training.state import Training
from benchmarks.measurement import Measurement, seconds_of
from benchmarks.simulated import prepared

N_EPOCHS = 9


def measure(scratch: Path) -> Iterator[Measurement]:
    """Train in turn with the adaptive context, with a constant in its place, and with plain scores."""
    dataset = read_prepared(prepared(scratch))
    adaptive, constant, plain = (_training(dataset, name) for name in ("adaptive", "constant", "adaptive"))
    plain.network.get_submodule("scorer").score = plain_score  # type: ignore[assignment]
    seconds = [
        [seconds_of(partial(train_epoch, training)) for training in (adaptive, constant, plain)]
        for _ in range(N_EPOCHS)
    ]
    # The first round compiles, and warms caches up.
    fast, none, slow = (statistics.median(times) for times in zip(*seconds[1:], strict=True))
    yield Measurement(
        name="context_share",
        value=1 - none / fast,
        unit="of a step",
        target=0.5,
        note=f"epoch {fast:.2f} s, {none:.2f} s without; plainly {slow:.2f} s, {1 - none / slow:.2f}",
    )


def plain_score(node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score as Eq. 10 is written, with every hidden unit in memory."""
    return torch.tanh(node + text.unsqueeze(1)) @ w


def _training(dataset: PreparedDataset, context: str) -> Training:
    return Training(Config().with_changes({"model.context": context}), dataset, 0, torch.device("cpu"))
