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
MovedData = Annotated[
    Path | None, typer.Option("--data", help="Prepared data set, where it has moved since.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", help="Directory of the studies and the MLflow store.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML config to start from.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change a field: model.tau=0.5. Repeatable.")
]
MaxEpochs = Annotated[int | None, typer.Option("--max-epochs", min=1, help="Maximum epochs per trial.")]
MinEpochs = Annotated[
    int | None, typer.Option("--min-epochs", min=1, help="Epochs before a search stops a trial; default: 10.")
]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Number of configs a search tries.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds per variant of a design.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
CpusPerTrial = Annotated[int, typer.Option("--cpus-per-trial", min=1, help="CPU cores per trial.")]
GpusPerTrial = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="GPUs per trial, such as 0.25; default: 1 if there is one."),
]
_KEPT = "Default: the study's."
KeptDevice = Annotated[str | None, typer.Option("--device", help=f"auto, cpu or cuda. {_KEPT}")]
KeptCpusPerTrial = Annotated[
    int | None, typer.Option("--cpus-per-trial", min=1, help=f"CPU cores per trial. {_KEPT}")
]
KeptGpusPerTrial = Annotated[
    float | None, typer.Option("--gpus-per-trial", min=0, help=f"GPUs per trial, such as 0.25. {_KEPT}")
]
TimeBudget = Annotated[
    str | None, typer.Option("--time-budget", help="Stop after this wall time: 90s, 30m, 2h.")
]
TrialHours = Annotated[
    float | None, typer.Option("--trial-hours", min=0, help="Stop after this many hours, summed over trials.")
]
Target = Annotated[
    float | None, typer.Option("--target", help="Stop once a trial reaches this Pearson-delta.")
]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster: auto or HOST:6379; default: this machine.")
]
MaxFailures = Annotated[int, typer.Option("--max-failures", min=0, help="Times a trial may lose its worker.")]
KeptAddress = Annotated[
    str | None, typer.Option("--address", help=f"Ray cluster: auto or HOST:6379. {_KEPT}")
]
KeptMaxFailures = Annotated[
    int | None,
    typer.Option("--max-failures", min=0, help=f"Times a trial may lose its worker. {_KEPT}"),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.")]
MaxConcurrent = Annotated[
    int | None, typer.Option("--max-concurrent", min=1, help="Maximum number of trials at once.")
]
Top = Annotated[int, typer.Option("--top", min=1, help="Number of best configs to retrain.")]
FreshSeeds = Annotated[int, typer.Option("--fresh-seeds", min=1, help="Fresh seeds per retrained config.")]
Redraws = Annotated[int, typer.Option("--redraws", min=0, help="Redrawn splits per retrained config.")]
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
    """Build the config that trials start from."""
    from adapert.workspace.launch import build_base

    return build_base(data, config, parse_changes(changes, max_epochs), workspace)


def parse_changes(changes: list[str] | None, max_epochs: int | None) -> dict[str, Any]:
    """Parse ``--set`` and ``--max-epochs`` into dotted config fields."""
    from adapert.config import parse_yaml

    parsed: dict[str, Any] = {}
    for change in changes or ():
        name, _, value = change.partition("=")
        try:
            if not (name and value):
                raise ValueError
            parsed[name] = parse_yaml(value)
        except ValueError as error:
            raise InputError(
                f"--set must be FIELD=VALUE, such as model.tau=0.5, but it is '{change}'."
            ) from error
    return parsed if max_epochs is None else parsed | {"training.max_epochs": max_epochs}


def parse_resources(
    cpus_per_trial: int,
    gpus_per_trial: float | None,
    max_concurrent: int | None,
    device: str,
    **cluster: Any,
) -> "Resources":
    """Build the resources of a new study, checked against this machine."""
    from adapert.study.execution.resources import build_resources

    return build_resources(cpus_per_trial, gpus_per_trial, max_concurrent, parse_device(device), **cluster)


def parse_kept(device: str | None, **resources: Any) -> dict[str, Any]:
    """Collect the resources that were given for a study that has some already, as fields of `Resources`."""
    return resources | {"device": device and parse_device(device)}


def parse_device(device: str) -> str:
    """Check the name of a device."""
    # What many call it; the nearest word would be 'cpu'.
    word = "cuda" if device == "gpu" else device
    return str(one_of("--device", word, ("auto", "cpu", "cuda")))


def parse_limits(
    time_budget: str | None, trial_hours: float | None = None, target: float | None = None
) -> dict[str, float | None]:
    """Parse when a study ends early into fields of `Limits`."""
    return {"seconds": _parse_duration(time_budget), "trial_hours": trial_hours, "target": target}


def _parse_duration(text: str | None) -> float | None:
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    # No float(): it would take "inf", "1e9" and "nan" as well.
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
