"""Options that several commands share, and what their words mean."""

import inspect
import logging
import platform
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapert import __version__
from adapert.cli.printing import LIBRARY
from adapert.errors import InputError, nearest

if TYPE_CHECKING:
    from adapert.config import Config
    from adapert.study.execution.resources import Resources

Data = Annotated[Path | None, typer.Option("--data", help="Directory made by 'adapert prepare'.")]
MovedData = Annotated[Path | None, typer.Option("--data", help="Where the data were moved to.")]
Workspace = Annotated[Path, typer.Option("--workspace", help="Where studies and the MLflow store lie.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML config to start from.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change a field: model.tau=0.5. Repeatable.")
]
MaxEpochs = Annotated[int | None, typer.Option("--max-epochs", min=1, help="Epochs a trial gets at most.")]
MinEpochs = Annotated[
    int | None, typer.Option("--min-epochs", min=1, help="Epochs before a search may stop a trial; 10.")
]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Configs that a search tries.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds of each variant of a design.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
CpusPerTrial = Annotated[int, typer.Option("--cpus-per-trial", min=1, help="Cores and threads of a trial.")]
GpusPerTrial = Annotated[
    float | None, typer.Option("--gpus-per-trial", min=0, help="May be a fraction: 0.25; else one if any.")
]
_KEPT = "Else as the study's."
KeptDevice = Annotated[str | None, typer.Option("--device", help=f"auto, cpu or cuda. {_KEPT}")]
KeptCpusPerTrial = Annotated[
    int | None, typer.Option("--cpus-per-trial", min=1, help=f"Cores and threads of a trial. {_KEPT}")
]
KeptGpusPerTrial = Annotated[
    float | None, typer.Option("--gpus-per-trial", min=0, help=f"May be a fraction: 0.25. {_KEPT}")
]
TimeBudget = Annotated[str | None, typer.Option("--time-budget", help="Wall time: 90s, 30m, 2h.")]
TrialHours = Annotated[
    float | None, typer.Option("--trial-hours", min=0, help="Hours of work, summed over trials.")
]
Target = Annotated[float | None, typer.Option("--target", help="Pearson-delta that is good enough.")]
Address = Annotated[
    str | None, typer.Option("--address", help="Of a Ray cluster: auto, HOST:6379; else this machine.")
]
MaxFailures = Annotated[
    int | None, typer.Option("--max-failures", min=0, help="Times a trial outlives its worker; 3.")
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.")]
MaxConcurrent = Annotated[int | None, typer.Option("--max-concurrent", min=1, help="Trials at once at most.")]
Top = Annotated[int, typer.Option("--top", min=1, help="Best configs that are trained anew.")]
FreshSeeds = Annotated[int, typer.Option("--fresh-seeds", min=1, help="Seeds of each that are new.")]
Redraws = Annotated[int, typer.Option("--redraws", min=0, help="Redrawn splits of each.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print details too, and where an error arose.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only results, warnings and errors.")]

DEFAULT_WORKSPACE = Path("runs")


def set_verbosity(verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Set how much is printed; neither leaves what was set before."""
    wanted = {logging.DEBUG} if verbose else set()
    wanted |= {logging.WARNING} if quiet else set()
    wanted |= {LIBRARY.level} - {logging.INFO}  # of 'adapert --quiet COMMAND'
    if len(wanted) > 1:
        raise InputError("--verbose and --quiet contradict each other. Leave one of them out.")
    LIBRARY.setLevel(wanted.pop() if wanted else logging.INFO)


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --verbose and --quiet."""

    @wraps(command)
    def run(verbose: bool, quiet: bool, **values: Any) -> None:
        set_verbosity(verbose, quiet)
        LIBRARY.debug(f"adapert {__version__}, Python {platform.python_version()}, {platform.platform()}")
        command(**values)

    # Typer reads a command's options from its signature.
    own, shared = inspect.signature(command), inspect.signature(set_verbosity)
    parameters = (*own.parameters.values(), *shared.parameters.values())
    run.__dict__["__signature__"] = own.replace(parameters=parameters)
    run.__annotations__ = command.__annotations__ | set_verbosity.__annotations__
    return run


def parse_base(
    data: Path | None,
    config: Path | None,
    changes: list[str] | None,
    max_epochs: int | None,
    workspace: Path,
) -> "Config":
    """Read the config that trials start from."""
    from adapert.workspace.launch import build_base

    return build_base(data, config, parse_changes(changes, max_epochs), workspace)


def parse_changes(changes: list[str] | None, max_epochs: int | None) -> dict[str, Any]:
    """Read what changes a config, as dotted fields."""
    parsed = dict(_parse_change(change) for change in changes or ())
    return parsed if max_epochs is None else parsed | {"training.max_epochs": max_epochs}


def _parse_change(change: str) -> tuple[str, Any]:
    from adapert.config import parse_yaml

    name, _, value = change.partition("=")
    try:
        if name and value:
            return name, parse_yaml(value)
    except ValueError:
        pass
    raise InputError(f"--set must be FIELD=VALUE, such as model.tau=0.5, but it is '{change}'.")


def parse_resources(
    cpus_per_trial: int,
    gpus_per_trial: float | None,
    max_concurrent: int | None,
    device: str,
    **cluster: Any,
) -> "Resources":
    """Build what a study may use, of what this machine or a cluster has."""
    from adapert.study.execution.resources import build_resources

    return build_resources(cpus_per_trial, gpus_per_trial, max_concurrent, parse_device(device), **cluster)


def parse_device(device: str) -> str:
    """Read a device, or refuse it."""
    # What many call it; the nearest word would be 'cpu'.
    word = "cuda" if device == "gpu" else device
    return str(one_of("--device", word, ("auto", "cpu", "cuda")))


def parse_limits(
    time_budget: str | None, trial_hours: float | None = None, target: float | None = None
) -> dict[str, float | None]:
    """Read when a study ends early, as fields of `Limits`."""
    return {"seconds": _parse_duration(time_budget), "trial_hours": trial_hours, "target": target}


def _parse_duration(text: str | None) -> float | None:
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    duration = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)([smhd])", text)
    seconds = float(duration[1]) * units[duration[2]] if duration else 0
    if not seconds:
        raise InputError(
            f"--time-budget must be a number above 0 and s, m, h or d, such as 2h, but it is '{text}'."
        )
    return seconds


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    """Return the value of an option, or refuse it with the nearest that is allowed."""
    if value not in allowed:
        raise InputError(
            f"{option} must be one of {', '.join(allowed)}, but it is '{value}'.{nearest(value, allowed)}"
        )
    return value
