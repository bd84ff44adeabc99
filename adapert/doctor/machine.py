"""Checks of cores, memory and GPUs, and of whether Ray starts on them."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapert.doctor.findings import GB, Finding, describe_size, ok, warning
from adapert.errors import InputError, name_some

MIN_MEMORY = 2 * GB

MIN_SHARED_MEMORY = 1 * GB

MIN_GPU_MEMORY = 1 * GB

RAY_TASK_SECONDS = 60.0

CGROUP_FILES = {
    "": ("memory.max", "memory.current"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""Controller to its files of limit and usage, for cgroup versions 2 and 1."""


@dataclass(frozen=True)
class Memory:
    """Main memory that this process may use, bytes."""

    available: int
    total: int


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use; memory in bytes."""

    name: str
    free: int
    total: int


def check_cores() -> Finding:
    """Count the cores that trials may share."""
    from adapert.study.execution.resources import count_cpus

    return ok(f"{count_cpus()} of this machine's {os.cpu_count()}")


def check_memory(memory: Memory | None = None) -> Finding:
    """Check that Ray and a trial fit into memory, which is measured if None."""
    memory = memory or measure_memory()
    found = f"{describe_size(memory.available)} of {describe_size(memory.total)} available"
    if memory.available >= MIN_MEMORY:
        return ok(found)
    return warning(
        f"Ray and a trial should have {describe_size(MIN_MEMORY)} of memory, but {found}. End other "
        "programs, or give the container more: docker run --memory=8g"
    )


def measure_memory(
    cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> Memory:
    """Measure the memory that this process may use: the machine's, or its container's limit.

    Args:
        cgroups: Where Linux shows the limits of containers; may be missing.
        membership: File that names the groups of this process; may be missing.
    """
    import psutil

    machine = psutil.virtual_memory()
    memory = Memory(machine.available, machine.total)
    for folder, limit_file, usage_file in _limiting_groups(cgroups, membership):
        limit, usage = _read_int(folder / limit_file), _read_int(folder / usage_file)
        # Version 1 says "no limit" by a number beyond any memory, version 2 by a word.
        if limit is None or usage is None or limit >= machine.total:
            continue
        free = max(0, limit - usage + _reclaimable(folder))
        memory = Memory(min(memory.available, free), min(memory.total, limit))
    return memory


def _limiting_groups(cgroups: Path, membership: Path) -> Iterator[tuple[Path, str, str]]:
    if not membership.is_file():
        return
    for line in membership.read_text(encoding="utf-8").splitlines():
        _, controllers, group = line.split(":", 2)
        for controller in CGROUP_FILES.keys() & controllers.split(","):
            root = cgroups / controller
            inner = root / group.lstrip("/")
            # A limit of any group around it holds too; in a container the inner ones may not be visible.
            for folder in (inner, *(parent for parent in inner.parents if parent.is_relative_to(root))):
                yield folder, *CGROUP_FILES[controller]


def _reclaimable(folder: Path) -> int:
    """Bytes of cached files that the kernel gives back when a program asks for memory."""
    file = folder / "memory.stat"
    if not file.is_file():
        return 0
    counts = dict(line.split(" ", 1) for line in file.read_text(encoding="utf-8").splitlines())
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _read_int(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def check_shared_memory(folder: Path = Path("/dev/shm"), free: int | None = None) -> Finding:
    """Check the directory of Ray's object store; `free` is in bytes, measured if None."""
    if sys.platform != "linux":
        return ok("not used by Ray on this system")
    if free is None:
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
    if free >= MIN_SHARED_MEMORY:
        return ok(f"{describe_size(free)} free")
    found = f"{describe_size(free)} are free" if folder.is_dir() else "it is missing"
    return warning(
        f"Ray keeps objects in '{folder}' and should have {describe_size(MIN_SHARED_MEMORY)} there, but "
        f"{found}: it would use the disk. Remove old files, or start the container with: docker run "
        "--shm-size=2g"
    )


def check_gpus(gpus: Sequence[Gpu] | None = None) -> Finding:
    """List GPUs and their free memory; those of this machine if None, after computing on each."""
    gpus = find_gpus() if gpus is None else gpus
    if not gpus:
        return _explain_no_gpu()
    found = ", ".join(
        f"{gpu.name} ({describe_size(gpu.free)} of {describe_size(gpu.total)} free)" for gpu in gpus
    )
    full = [f"{number}" for number, gpu in enumerate(gpus) if gpu.free < MIN_GPU_MEMORY]
    if not full:
        return ok(f"{len(gpus)}: {found}")
    return warning(
        f"A GPU should have {describe_size(MIN_GPU_MEMORY)} free, but these have less: {name_some(full)} "
        f"of {found}. End the programs that nvidia-smi lists, or hide these GPUs with CUDA_VISIBLE_DEVICES."
    )


def find_gpus() -> list[Gpu]:
    """Find the GPUs that torch can use.

    Raises:
        InputError: One that torch sees but cannot compute on.
    """
    import torch

    gpus = []
    for number in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(number)
        try:
            torch.ones(2, device=f"cuda:{number}").sum().item()
            gpus.append(Gpu(name, *torch.cuda.mem_get_info(number)))
        except RuntimeError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"torch {torch.__version__} must be able to compute on every GPU, but number {number}, "
                f"{name}, fails: {reason}. Hide it with CUDA_VISIBLE_DEVICES, launch "
                "with --device cpu, or install a torch that supports it."
            ) from error
    return gpus


def _explain_no_gpu() -> Finding:
    import torch

    rest = "trials run on the CPU"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return ok(f"none, since CUDA_VISIBLE_DEVICES is '{hidden}'; {rest}")
    is_for_cpu = torch.version.cuda is None and torch.version.hip is None
    reason = "torch is built for the CPU only" if is_for_cpu else "torch finds none"
    if not is_for_cpu:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
    if not has_nvidia_card():
        return ok(f"none ({reason}); {rest}")
    public_version = torch.__version__.split("+")[0]
    cure = (
        f"Run: python -m pip install --force-reinstall torch=={public_version}"
        if is_for_cpu
        else "Install NVIDIA's driver, or start the container with: docker run --gpus all"
    )
    return warning(f"torch should use this machine's NVIDIA GPU, but cannot: {reason}; {rest}. {cure}")


def has_nvidia_card(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether Linux sees a display or compute card of NVIDIA's, with a driver or without."""
    return any(
        (card / "vendor").read_text(encoding="utf-8").strip() == "0x10de"
        and (card / "class").read_text(encoding="utf-8").startswith("0x03")
        for card in (devices.iterdir() if devices.is_dir() else ())
    )


def check_ray() -> Finding:
    """Start Ray as a study does, run one task in a worker, and end it."""
    import ray

    from adapert.study.execution.on_ray import started_ray

    started = time.monotonic()
    with started_ray():
        seconds = time.monotonic() - started
        ray.get(ray.remote(lambda: None).remote(), timeout=RAY_TASK_SECONDS)
        task_seconds = time.monotonic() - started - seconds
    return ok(f"started in {seconds:.1f} s, first task in {task_seconds:.1f} s")
