"""What a study may use of the machine it runs on."""

from dataclasses import dataclass

from adapert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a study may use.

    Attributes:
        cpus_per_trial: Cores, and threads, of a trial.
        gpus_per_trial: May be a fraction.
        max_concurrent: Trials at once at most; None is as many as fit.
        time_budget_seconds: Wall time after which no trial goes on; None is no limit.
        device: ``"cpu"`` or ``"cuda"``.
    """

    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    max_concurrent: int | None = None
    time_budget_seconds: float | None = None
    device: str = "cpu"

    @property
    def n_at_once(self) -> int:
        """Trials that run side by side on this machine."""
        fitting = count_cpus() // self.cpus_per_trial
        if self.gpus_per_trial:
            fitting = min(fitting, int(count_gpus() / self.gpus_per_trial))
        return max(1, min(fitting, self.max_concurrent or fitting))


def build_resources(
    cpus_per_trial: int,
    gpus_per_trial: float | None,
    max_concurrent: int | None,
    time_budget_seconds: float | None,
    device: str,
) -> Resources:
    """Check what was asked for against this machine, and decide what was left open.

    Args:
        cpus_per_trial: Cores, and threads, of a trial.
        gpus_per_trial: May be a fraction; None is a whole GPU where there is one and `device` allows it.
        max_concurrent: Trials at once at most; None is as many as fit.
        time_budget_seconds: None is no limit.
        device: ``"auto"`` is CUDA where trials get a share of a GPU.

    Raises:
        InputError: More than the machine has: Ray would wait for it for ever.
    """
    n_cpus, n_gpus = count_cpus(), count_gpus()
    if cpus_per_trial > n_cpus:
        raise InputError(
            f"--cpus-per-trial must be at most the machine's cores, but it is {cpus_per_trial} and this "
            f"machine has {n_cpus}. Give a smaller one."
        )
    if device == "cuda" and not n_gpus:
        raise InputError(
            "--device cuda needs an NVIDIA GPU that torch can use, but this machine has none. "
            "Give --device cpu, or auto."
        )
    if gpus_per_trial is None:
        gpus_per_trial = 1.0 if n_gpus and device != "cpu" else 0.0
    _check_gpus(gpus_per_trial, n_gpus)
    if device == "auto":
        device = "cuda" if gpus_per_trial else "cpu"
    return Resources(
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        max_concurrent=max_concurrent,
        time_budget_seconds=time_budget_seconds,
        device=device,
    )


def count_cpus() -> int:
    """Cores that this process may use: by affinity and by the limits of a container."""
    from joblib import cpu_count

    return int(cpu_count())


def count_gpus() -> int:
    """GPUs that torch can use."""
    import torch

    return torch.cuda.device_count()


def _check_gpus(gpus_per_trial: float, n_gpus: int) -> None:
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
