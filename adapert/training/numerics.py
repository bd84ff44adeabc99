"""What the config says of a device's arithmetic, set while a block runs and put back after it.

bfloat16 is set where products are (`adapert.models.precision`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

WORKSPACE = ":4096:8"
"""Of cuBLAS: buffers of a fixed number and size, with which its sums have one order."""


def prepare_device(device: torch.device) -> None:
    """Let a later block be deterministic: cuBLAS reads how much memory it has before its first product."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)


@contextmanager
def deterministic(is_asked: bool) -> Iterator[None]:
    """Compute by operations that give the same bits again, where that is asked for.

    Raises:
        RuntimeError: Inside the block, of an operation that has no such form.
    """
    if not is_asked:  # whoever calls may have asked for it
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def tf32(is_used: bool, device: torch.device) -> Iterator[None]:
    """Let a GPU's products of float32 be of TF32 numbers, or not."""
    if device.type == "cpu":  # it has none
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = is_used
    try:
        yield
    finally:
        matmul.allow_tf32 = before
