"""What a training step of AdaPert takes on one thread, part by part, beside what the core can do.

CPU time, since other work may run on the same cores; all parts in turn, and the least of their times.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from adapert.config import Config, GraphConfig
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.models.gene_kernels import network_coordinates
from adapert.models.losses import fused_errors, plain_errors
from adapert.training.loop import flushed_denormals
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training
from adapert.training.threads import threads
from benchmarks.measurement import Measurement
from benchmarks.simulated import prepared_responses

N_ROUNDS = 25
"""After one that warms caches up."""

SQUARE = 1024
"""Rows and columns of the product that says how fast a core multiplies."""

STREAM = 2**25
"""Numbers of an array that no cache holds."""

BYTES_A_PARAMETER = 7 * 4
"""AdamW reads parameter, gradient and two moments, and writes all but the gradient, in float32."""


class ProductCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the operations of dense matrix products, forward and backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_operations = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm):
            first, second = args[-2:]
            if first.layout == torch.strided:
                self.n_operations += 2 * first.numel() * second.shape[-1]
        return function(*args, **(kwargs or {}))


def measure(scratch: Path) -> Iterator[Measurement]:
    """Time a step and its parts, and compare those that have an alternative with it."""
    dataset = read_prepared(prepared_responses(scratch), ("train", "validation"))
    with threads(1), flushed_denormals():
        yield _eigenvectors(dataset)
        training = Training(Config(), dataset, 0, torch.device("cpu"))
        n_operations = _count_operations(training)
        seconds = _least_seconds(_parts(training))
    n_parameters = int(training.resolved["n_parameters"])
    rate = 2 * SQUARE**3 / seconds["square"]
    bandwidth = 3 * 4 * STREAM / seconds["stream"]
    yield Measurement(
        name="step",
        value=1e3 * (seconds["gradient"] + seconds["optimiser"]),
        unit="ms",
        note=f"{_n_rows(training)} x {dataset.n_genes:,} genes, {dataset.n_nodes:,} nodes",
    )
    floors = {
        "gradient": 1e3 * n_operations / rate,
        "optimiser": 1e3 * BYTES_A_PARAMETER * n_parameters / bandwidth,
    }
    yield Measurement(
        name="step_gradient",
        value=1e3 * seconds["gradient"],
        unit="ms",
        note=f"floor {floors['gradient']:.3g} ms: {n_operations / 1e9:.2f} GFLOP of matrix products at the "
        f"{rate / 1e9:.0f} GFLOP/s of {SQUARE} x {SQUARE}",
    )
    yield Measurement(
        name="step_optimiser",
        value=1e3 * seconds["optimiser"],
        unit="ms",
        note=f"floor {floors['optimiser']:.3g} ms: {n_parameters:,} parameters at {bandwidth / 1e9:.1f} GB/s",
    )
    fused, plain = seconds["losses"], seconds["plain losses"]
    yield Measurement(
        name="losses_in_one_pass",
        value=plain / fused,
        unit="times",
        target=2,
        bound="at least",
        note=f"{1e3 * fused:.3g} ms, and {1e3 * plain:.3g} ms in torch's own passes",
    )


def _eigenvectors(dataset: PreparedDataset) -> Measurement:
    first, again = (
        _cpu_seconds(lambda: network_coordinates(dataset.shared, GraphConfig(), "spectral", 256))
        for _ in range(2)
    )
    return Measurement(
        name="eigenvectors_again",
        value=first / again,
        unit="times",
        target=5,
        bound="at least",
        note=f"{first:.2f} s for the first trial of a process, {again:.2f} s for the next",
    )


def _n_rows(training: Training) -> int:
    """Rows of a minibatch: as many as the loop takes, which are of nearly one size."""
    n_rows = len(training.objective.rows.perturbation_index)
    return math.ceil(n_rows / math.ceil(n_rows / training.config.training.minibatch_size))


def _gradient(training: Training) -> None:
    minibatch = training.objective.rows.minibatch(np.arange(_n_rows(training)), training.order_generator)
    losses, _ = minibatch_losses(training, minibatch)
    training.optimizer.zero_grad(set_to_none=True)
    losses["loss_total"].backward()  # type: ignore[no-untyped-call]


def _count_operations(training: Training) -> int:
    counter = ProductCounter()
    with counter:
        _gradient(training)
    return counter.n_operations


def _parts(training: Training) -> dict[str, Callable[[], object]]:
    model, n_rows, n_genes = training.config.model, _n_rows(training), training.dataset.n_genes
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(model.n_heads, n_rows, n_genes, generator=generator, requires_grad=True)
    target, marks = predicted.detach()[0], torch.ones(n_rows, n_genes)
    square = torch.randn(SQUARE, SQUARE, generator=generator)
    numbers, sums, product = torch.ones(2, STREAM), torch.empty(STREAM), torch.empty(SQUARE, SQUARE)

    def losses(errors: Callable[..., tuple[Tensor, Tensor]]) -> None:
        squared, penalty = errors(predicted, target, marks, 0.4)
        torch.autograd.grad((squared + penalty).sum(), predicted)

    return {
        "gradient": lambda: _gradient(training),
        "optimiser": training.optimizer.step,
        "losses": lambda: losses(fused_errors),
        "plain losses": lambda: losses(plain_errors),
        "square": lambda: torch.mm(square, square, out=product),
        "stream": lambda: torch.add(numbers[0], numbers[1], out=sums),
    }


def _least_seconds(parts: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    rounds = [{name: _cpu_seconds(work) for name, work in parts.items()} for _ in range(1 + N_ROUNDS)]
    return {name: min(each[name] for each in rounds[1:]) for name in parts}


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
