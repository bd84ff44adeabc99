"""What a study may use of the machine it runs on."""

import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from adapert.errors import InputError, nearest

CONNECT_SECONDS = 5.0

Executor: TypeAlias = Literal["ray", "local"]
"""What runs trials: Ray Tune, in worker processes; or this process."""

EXECUTORS: tuple[Executor, ...] = get_args(Executor)

SHORT_RECIPES = ("quickstart",)
"""Recipes whose trials together take about as long as Ray's start."""


SlotNumber: TypeAlias = int | Literal["auto"]
"""Trials at once in a process; "auto" is as many as a GPU's memory holds, by what the first one takes."""

OF_ONE_EXECUTOR = ("gpus_per_trial", "max_concurrent", "address", "ships_data")
"""Fields of `Resources` that another executor does not take over."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study may use.

    Attributes:
        executor: What runs the trials.
        cpus_per_trial: Cores, and threads, of a trial, or of the slots of a worker together.
        gpus_per_trial: The same of GPUs; may be a fraction.
        max_concurrent: Trials at once at most; None is as many as fit.
        device: ``"cpu"`` or ``"cuda"``.
        address: Address of a Ray cluster; empty for this machine alone.
        ships_data: Whether the prepared data travel to nodes of a cluster that do not see their path.
        slots: Trials at once in a process: this one, or each of Ray's workers.
        max_failures: Number of times that a trial is resumed after its worker was lost.
    """

    executor: Executor = "ray"
    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    max_concurrent: int | None = None
    device: str = "cpu"
    address: str = ""
    ships_data: bool = False
    slots: SlotNumber = 1
    max_failures: int = 3

    def __post_init__(self) -> None:
        """Refuse a number of slots, or a share of GPUs, that is none.

        Raises:
            InputError: It is.
        """
        if not (math.isfinite(self.gpus_per_trial) and self.gpus_per_trial >= 0):
            raise InputError(
                f"gpus_per_trial must be a number from 0, but it is {self.gpus_per_trial}. Give one, or "
                "leave it out."
            )
        if self.slots != "auto" and (type(self.slots) is not int or self.slots < 1):
            raise InputError(
                f"slots must be a whole number from 1, or 'auto', but it is {self.slots!r}. Give one of them."
            )

    @property
    def n_workers(self) -> int:
        """Processes that train side by side on this machine."""
        if self.executor == "local":
            return 1
        fitting = self.count_fitting({"CPU": count_cpus(), "GPU": count_gpus()})
        return max(1, min(fitting, self.max_concurrent or fitting))

    def count_fitting(self, machine: Mapping[str, float]) -> int:
        """Count the trials that fit into cores and GPUs, ``CPU`` and ``GPU`` as Ray counts them."""
        fitting = int(machine.get("CPU", 0)) // self.cpus_per_trial
        if not self.gpus_per_trial:
            return fitting
        return min(fitting, int(machine.get("GPU", 0) / self.gpus_per_trial))


def build_resources(
    cpus_per_trial: int = 1,
    gpus_per_trial: float | None = None,
    max_concurrent: int | None = None,
    device: str = "auto",
    executor: str | None = None,
    usual: Executor = "ray",
    slots: SlotNumber | None = None,
    **others: Any,
) -> Resources:
    """Check what was asked for against this machine, and decide what was left open.

    Args:
        cpus_per_trial: Cores, and threads, of a trial.
        gpus_per_trial: May be a fraction; None is a whole GPU where there is one and `device` allows it.
        max_concurrent: Trials at once at most; None is as many as fit.
        device: ``"auto"`` is CUDA where trials get a share of a GPU.
        executor: ``"ray"`` or ``"local"``; None is `usual`, or Ray where something is asked that needs it.
        usual: See `usual_executor`.
        slots: Trials at once in a process; a number above 1 makes this one the usual executor. None is one,
            or ``"auto"`` for a whole GPU; ``"auto"`` on a CPU is one too.
        others: Other fields of `Resources`. Nodes of a cluster at an ``address`` are not checked here.

    Raises:
        InputError: No such executor, something that it cannot have, more than the machine has, for which Ray
            would wait indefinitely, a device and a share of GPUs that contradict each other, or no cluster at
            the address, or none to ship the data to.
    """
    of_ray = _options_of_ray(gpus_per_trial, max_concurrent, **others)
    is_several = slots not in (None, "auto", 1)
    chosen = _choose_executor(executor, "local" if is_several else usual, of_ray)
    address = others.get("address", "")
    if others.get("ships_data") and not address:
        raise InputError(
            "--ship-data sends the data to the nodes of a cluster, but no --address names one. Give its "
            "--address, or leave --ship-data out."
        )
    _check_address(address)
    n_cpus, n_gpus = count_cpus(), count_gpus()
    if not address and cpus_per_trial > n_cpus:
        raise InputError(
            f"--cpus-per-trial must be at most the machine's cores, but it is {cpus_per_trial} and this "
            f"machine has {n_cpus}. Give a smaller one."
        )
    if not address and device == "cuda" and not n_gpus:
        raise InputError(
            "--device cuda needs an NVIDIA GPU that torch can use, but this machine has none. "
            "Give --device cpu, or auto."
        )
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if n_gpus and device != "cpu" else 0.0
    _check_gpus(gpus_per_trial, math.inf if address else n_gpus)
    if device == "auto":
        device = "cuda" if gpus_per_trial else "cpu"
    _check_device(device, gpus_per_trial)
    if slots is None:  # shares of a GPU are asked for to have a trial in each
        slots = "auto" if gpus_per_trial >= 1 else 1
    return Resources(
        executor=chosen,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        max_concurrent=max_concurrent,
        device=device,
        slots=1 if slots == "auto" and device == "cpu" else slots,
        **others,
    )


def restore_resources(had: Mapping[str, Any], given: Mapping[str, Any]) -> Resources:
    """Build what a study may use from what it used before.

    Args:
        had: Fields of `Resources` as a ledger has them; those of another version are dropped.
        given: Fields to use instead; None keeps what the study had.

    Raises:
        InputError: As `build_resources`.
    """
    kept = {entry.name: had[entry.name] for entry in fields(Resources) if entry.name in had}
    chosen = {name: value for name, value in given.items() if value is not None}
    if "executor" in chosen and chosen["executor"] != kept.get("executor"):
        kept = {name: value for name, value in kept.items() if name not in OF_ONE_EXECUTOR}
    if not (kept | chosen).get("address"):
        kept["ships_data"] = False  # of a study that continues without its cluster
    if "device" in chosen:
        kept["gpus_per_trial"] = None  # a share of the other device, or none
    return build_resources(**kept | chosen)


def count_cpus() -> int:
    """Cores that this process may use: by affinity and by the limits of a container."""
    from joblib import cpu_count  # os.cpu_count knows neither

    return int(cpu_count())


def count_gpus() -> int:
    """GPUs that torch can use."""
    import torch

    return torch.cuda.device_count()


def usual_executor(recipe: str, n_trials: int) -> Executor:
    """Executor of a study for which none is named: this process where Ray's start takes longer than it helps.

    Args:
        recipe: Name of the study's recipe; empty if it has none.
        n_trials: Number of trials of the study.
    """
    return "local" if n_trials == 1 or recipe in SHORT_RECIPES else "ray"


def _choose_executor(executor: str | None, usual: Executor, of_ray: Sequence[str]) -> Executor:
    if executor is None:
        return "ray" if of_ray else usual
    if executor not in EXECUTORS:
        raise InputError(
            f"--executor must be one of {', '.join(EXECUTORS)}, but it is '{executor}'."
            f"{nearest(executor, EXECUTORS)}"
        )
    if executor == "ray":
        return "ray"
    if of_ray:
        raise InputError(
            "--executor local trains in this process, on its cores or one whole GPU, but "
            f"{' and '.join(of_ray)} came with it. Leave out what needs Ray, or give --executor ray."
        )
    return "local"


def _options_of_ray(
    gpus_per_trial: float | None,
    max_concurrent: int | None,
    address: str = "",
    ships_data: bool = False,
    **_: Any,
) -> list[str]:
    """Name the options among those given that mean nothing in this process."""
    needs_ray = {
        "--address": bool(address),
        "--ship-data": ships_data,
        f"--gpus-per-trial {gpus_per_trial}": gpus_per_trial not in (None, 0, 1),
        f"--max-concurrent {max_concurrent}": max_concurrent not in (None, 1),
    }
    return [option for option, is_needed in needs_ray.items() if is_needed]


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray would wait for minutes, and end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # none, or "auto"
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"--address must be that of a Ray cluster, but nothing answers at '{address}': "
            f"{error.strerror or error}. Start one with 'ray start --head', or leave it out to use this "
            "machine alone."
        ) from error


def _check_device(device: str, gpus_per_trial: float) -> None:
    """Refuse a GPU of which trials get nothing, and a share of one that they would leave unused."""
    if device == "cuda" and not gpus_per_trial:
        raise InputError(
            "--device cuda needs a share of a GPU, but --gpus-per-trial is 0. Give a share, such as 1, or "
            "--device cpu."
        )
    if device == "cpu" and gpus_per_trial:
        raise InputError(
            f"--device cpu leaves GPUs unused, but --gpus-per-trial is {gpus_per_trial:g}. Give --device "
            "cuda, or --gpus-per-trial 0."
        )


def _check_gpus(gpus_per_trial: float, n_gpus: float) -> None:
    if gpus_per_trial > n_gpus:
        raise InputError(
            f"--gpus-per-trial must be at most the machine's GPUs, but it is {gpus_per_trial:g} and this "
            f"machine has {n_gpus}. Give a smaller one, or leave it out."
        )
    if gpus_per_trial > 1 and gpus_per_trial % 1:
        raise InputError(
            "--gpus-per-trial must be a whole number or a fraction of one GPU, but it is "
            f"{gpus_per_trial:g}. Give {gpus_per_trial // 1:g}."
        )
