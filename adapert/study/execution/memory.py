"""What a trial's process takes of its machine: a share of memory, and what it is seen to use."""

from contextlib import suppress
from functools import cache

import psutil
import torch

SLOT_SHARE = 0.6
"""Fraction of a process's GPU memory that is filled with slots, each as large as the first trial's peak.

The rest is for trials that need more than the first one, and for fragmentation.
"""

MOST_SLOTS = 64
"""With more slots the time of a shared step grows in proportion, so that nothing is gained."""

LEAST_MEMORY = 512 * 2**20
"""Bytes of free memory without which no trial starts."""


class NoMemoryError(RuntimeError):
    """Others use the memory that a trial was promised; later, or elsewhere, it may be free."""


def take_share(device: torch.device, share: float) -> None:
    """Check that a trial's share of memory is free, and keep the process within it on a GPU.

    Fractions of a GPU are only counted by Ray; without a bound one trial could take its neighbours' memory.

    Args:
        device: Where the model lives.
        share: Share of the GPU; 1 or more is all of it.

    Raises:
        NoMemoryError: Less is free.
    """
    if device.type == "cuda":
        share = min(share, 1.0)
        torch.cuda.set_per_process_memory_fraction(share, device)
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device)
        # A CUDA context and rounding take a few per cent.
        if free + own < 0.9 * share * total:
            raise NoMemoryError(
                f"A trial must find its share of {share:g} of the GPU's {_gigabytes(total)} free, but "
                f"{_gigabytes(free)} are. End what else uses the GPU, or lower --gpus-per-trial."
            )
    available = psutil.virtual_memory().available
    if available < LEAST_MEMORY:
        raise NoMemoryError(
            f"A trial must find {_gigabytes(LEAST_MEMORY)} of memory free, but {_gigabytes(available)} "
            "are. Run fewer at once with --max-concurrent."
        )


def count_slots(device: torch.device, share: float) -> int:
    """Count the trials that find a place in a process, after one of them has trained an epoch alone.

    Args:
        device: Where the model lives.
        share: The process's share of the GPU; 1 or more is all of it.

    Returns:
        1 on a CPU, where a process serves one trial.
    """
    if device.type != "cuda":
        return 1
    _, total = torch.cuda.mem_get_info(device)
    return fitting_slots(torch.cuda.max_memory_allocated(device), min(share, 1.0) * total)


def fitting_slots(n_bytes: int, n_available: float) -> int:
    """Count the trials of so many bytes that `SLOT_SHARE` of the available ones holds, from 1."""
    return max(1, min(MOST_SLOTS, int(SLOT_SHARE * n_available / max(n_bytes, 1))))


def measure_use(device: torch.device) -> dict[str, float]:
    """Measure what this process uses, under the names of `adapert.records.SYSTEM`.

    Returns:
        CPU since the last call (per cent of one core) and resident memory; on a GPU its memory that torch
        holds, and its utilisation where NVIDIA's library can be read.
    """
    process = _this_process()
    use = {
        "system/cpu_utilization_percentage": process.cpu_percent(),
        "system/process_memory_megabytes": process.memory_info().rss / 2**20,
    }
    if device.type == "cuda":
        use["system/gpu_memory_megabytes"] = torch.cuda.memory_reserved(device) / 2**20
        with suppress(ModuleNotFoundError, RuntimeError):  # NVIDIA's Python library is not a requirement
            use["system/gpu_utilization_percentage"] = float(torch.cuda.utilization(device))
    return use


@cache
def _this_process() -> psutil.Process:
    return psutil.Process()  # the same each time: it counts CPU since it was last asked


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
