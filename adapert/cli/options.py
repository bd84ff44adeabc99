"""Options that several commands share, and what their words mean."""

import inspect
import logging
import platform
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from adapert import __version__
from adapert.cli.as_json import keep_stdout_free
from adapert.cli.completion import complete_field, complete_study
from adapert.cli.printing import LIBRARY
from adapert.errors import InputError, nearest

if TYPE_CHECKING:
    from adapert.config import Config
    from adapert.selection.reevaluate import ReevaluationPlan
    from adapert.study.execution.resources import Resources, SlotNumber

Data = Annotated[Path | None, typer.Option("--data", help="Directory made by 'adapert prepare'.")]
MovedData = Annotated[
    Path | None, typer.Option("--data", help="Prepared data set, where it has moved since.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", help="Directory of the studies and the MLflow store.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML config to start from, or a preset: paper (AdaPert to the letter)."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change fields: model.tau=0.5. Repeatable, or a list.", autocompletion=complete_field
    ),
]
MaxEpochs = Annotated[int | None, typer.Option("--max-epochs", min=1, help="Maximum epochs per trial.")]
MinEpochs = Annotated[
    str | None,
    typer.Option(
        "--min-epochs",
        metavar="<int|auto>",
        help="Epochs before a search stops a trial; default: auto, learned from its first trials.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Number of configs a search tries.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds per variant of a design.")]
StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study.", autocompletion=complete_study)
]
FigureStyle = Annotated[
    str,
    typer.Option(
        "--style",
        help="paper: 85 or 180 mm wide, title and caption in .txt and .tex beside it. screen: both in it. "
        "slide: 16:9, caption beside it.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print details too, and where an error arose.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and everything else on stderr.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only results, warnings and errors.")]
MaxConcurrent = Annotated[
    int | None, typer.Option("--max-concurrent", min=1, help="Maximum number of trials at once.")
]

NEXT_FIELD = r"[,\s]+(?=\w+\.\w+=)"
"""Between two changes of one ``--set``; values may have commas and spaces too."""

MOST_DIGITS = 9
"""Digits of the largest number of slots that is read: Python refuses to parse thousands of them."""

_NUMBERS = re.compile(r"[-+.\deE,\s]*")

KEPT = "Default: the study's."
"""Said of options that keep what a study has."""


@dataclass(frozen=True)
class NewResources:
    """Options of what a new study may use."""

    executor: Annotated[
        str | None,
        typer.Option(
            "--executor",
            help="ray: trials in worker processes. local: in this process, one after the other or in"
            " --slots. Default: local for one trial, quickstart and --slots, else ray.",
        ),
    ] = None
    cpus_per_trial: Annotated[
        int, typer.Option("--cpus-per-trial", min=1, help="CPU cores per trial, or per worker with --slots.")
    ] = 1
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-trial",
            min=0,
            help="GPUs per trial, or per worker with --slots, such as 0.25; default: 1 if there is one.",
        ),
    ] = None
    max_concurrent: MaxConcurrent = None
    slots: Annotated[
        str | None,
        typer.Option(
            "--slots",
            metavar="<int|auto>",
            help="Trials at once in this process, or in each worker; those of one shape share steps."
            " Default: 1; for a whole GPU auto, as many as its memory holds.",
        ),
    ] = None
    device: Device = "auto"

    def build(self, **others: Any) -> "Resources":
        """Build the resources, checked against this machine; others as in `build_resources`."""
        from adapert.study.execution.resources import build_resources

        used = asdict(self) | {"device": parse_device(self.device), "slots": parse_slots(self.slots)}
        return build_resources(**used, **others)


@dataclass(frozen=True)
class KeptResources:
    """Options of what a study may use that has some resources already, and keeps those that are not given."""

    executor: Annotated[
        str | None, typer.Option("--executor", help=f"ray or local: what runs the trials. {KEPT}")
    ] = None
    cpus_per_trial: Annotated[
        int | None, typer.Option("--cpus-per-trial", min=1, help=f"CPU cores per trial. {KEPT}")
    ] = None
    gpus_per_trial: Annotated[
        float | None, typer.Option("--gpus-per-trial", min=0, help=f"GPUs per trial, such as 0.25. {KEPT}")
    ] = None
    max_concurrent: MaxConcurrent = None
    slots: Annotated[
        str | None,
        typer.Option("--slots", metavar="<int|auto>", help=f"Trials at once in each process. {KEPT}"),
    ] = None
    device: Annotated[str | None, typer.Option("--device", help=f"auto, cpu or cuda. {KEPT}")] = None

    def changes(self, **others: Any) -> dict[str, Any]:
        """Collect what was given, as fields of `Resources`; None keeps the study's value."""
        device = self.device and parse_device(self.device)
        return asdict(self) | {"device": device, "slots": parse_slots(self.slots)} | others


@dataclass(frozen=True)
class EarlyEnd:
    """Options of when a study ends early."""

    time_budget: Annotated[
        str | None, typer.Option("--time-budget", help="Stop after this wall time: 90s, 30m, 2h.")
    ] = None
    trial_hours: Annotated[
        float | None,
        typer.Option("--trial-hours", min=0, help="Stop after this many hours, summed over trials."),
    ] = None
    target: Annotated[
        float | None, typer.Option("--target", help="Stop once a trial reaches this Pearson-delta.")
    ] = None

    def limits(self) -> dict[str, float | None]:
        """Collect them as fields of `Limits`."""
        seconds = None if self.time_budget is None else parse_duration(self.time_budget)
        return {"seconds": seconds, "trial_hours": self.trial_hours, "target": self.target}


@dataclass(frozen=True)
class Retraining:
    """Options of how the best configs are retrained before one is picked."""

    top: Annotated[
        int, typer.Option("--top", min=1, help="Number of best configs to retrain before one is picked.")
    ] = 3
    fresh_seeds: Annotated[
        int, typer.Option("--fresh-seeds", min=1, help="Fresh seeds per retrained config.")
    ] = 3
    redraws: Annotated[int, typer.Option("--redraws", min=0, help="Redrawn splits per retrained config.")] = 2

    def plan(self) -> "ReevaluationPlan":
        """Build the plan."""
        from adapert.selection.reevaluate import ReevaluationPlan

        return ReevaluationPlan(top=self.top, n_fresh_seeds=self.fresh_seeds, n_redraws=self.redraws)


def set_verbosity(verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Set how much is printed; neither leaves what was set before."""
    wanted = {logging.DEBUG} if verbose else set()
    wanted |= {logging.WARNING} if quiet else set()
    wanted |= {LIBRARY.level} - {logging.INFO}  # of 'adapert --quiet COMMAND'
    if len(wanted) > 1:
        raise InputError("--verbose and --quiet contradict each other. Leave one of them out.")
    LIBRARY.setLevel(wanted.pop() if wanted else logging.INFO)


def with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --verbose and --quiet, and the options of each group that is a type of its arguments."""
    own = inspect.signature(command)
    groups: dict[str, type[Any]] = {
        name: parameter.annotation
        for name, parameter in own.parameters.items()
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def run(verbose: bool, quiet: bool, **values: Any) -> None:
        if values.get("as_json"):
            keep_stdout_free()
        set_verbosity(verbose, quiet)
        LIBRARY.debug(f"adapert {__version__}, Python {platform.python_version()}, {platform.platform()}")
        for name, group in groups.items():
            values[name] = group(**{option.name: values.pop(option.name) for option in fields(group)})
        command(**values)

    # Typer reads a command's options from its signature, in which a group stands for its fields.
    parameters = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in (own.parameters | inspect.signature(set_verbosity).parameters).items()
        for option in (inspect.signature(groups[name]).parameters.values() if name in groups else [parameter])
    ]
    run.__dict__["__signature__"] = own.replace(parameters=parameters)
    run.__annotations__ = {option.name: option.annotation for option in parameters}
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
    for change in [each for given in changes or () for each in re.split(NEXT_FIELD, given)]:
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


class ListCommand(TyperCommand):
    """A command whose lists are given by commas, by spaces, or by an option that is repeated."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, with each value of a list in a word of its own."""
        return super().parse_args(ctx, self._repeat_options(ctx, self._split_numbers(args)))

    def _split_numbers(self, args: list[str]) -> list[str]:
        """Split by commas the numbers that follow an option of several; paths are left whole."""
        several = {name: option.nargs for option in self.params if option.nargs > 1 for name in option.opts}
        words: list[str] = []
        n_left = 0  # values that the last such option lacks
        for word in args:
            name, _, behind = word.partition("=")
            if name in several:
                words.append(name)
                n_left, word = several[name], behind
            values = _split(word) if n_left > 0 and _NUMBERS.fullmatch(word) else [word]
            words += values
            n_left -= len(values)
        return words

    def _repeat_options(self, ctx: Any, args: list[str]) -> list[str]:
        """Name a repeatable option again before the words behind its value that no argument would take."""
        n_left = len(self.make_parser(ctx).parse_args(list(args))[1])
        repeatable = {name for option in self.params if option.multiple for name in option.opts}
        words: list[str] = []
        option, has_value = "", False
        for word in args:
            name, equals, _ = word.partition("=")
            if word.startswith("-"):
                option, has_value = name if name in repeatable else "", bool(equals)
            elif option and has_value and n_left:
                words.append(option)
                n_left -= 1
            else:
                has_value = True
            words.append(word)
        return words


def split_list(what: str, words: Iterable[str]) -> list[str]:
    """Read the words of a list that was given one by one, by commas, or by spaces in quotation marks.

    Raises:
        InputError: There is none, as in ``","``.
    """
    given = list(words)
    split = [word for each in given for word in _split(each)]
    if given and not split:
        raise InputError(f"{what} must be a list such as a,b or 'a b', but it is '{' '.join(given)}'.")
    return split


def _split(words: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", words) if word]


def parse_device(device: str) -> str:
    """Check the name of a device."""
    # What many call it; the nearest word would be 'cpu'.
    word = "cuda" if device == "gpu" else device
    return str(one_of("--device", word, ("auto", "cpu", "cuda")))


def parse_slots(slots: str | None) -> "SlotNumber | None":
    """Read a number of slots, or ``"auto"``; None is not given."""
    if slots is None or slots == "auto":
        return slots  # type: ignore[return-value]
    # No int(): it would take "1_0" as well.
    if not (slots.isascii() and slots.isdigit() and len(slots) < MOST_DIGITS and int(slots)):
        raise InputError(
            f"--slots must be auto or a whole number of at least 1, but it is '{slots[:20]}'. Give one of "
            "them, or leave it out."
        )
    return int(slots)


def parse_style(word: str) -> str:
    """Read what figures are drawn for."""
    from analysis.figures.page import STYLES

    return str(one_of("--style", word, tuple(STYLES)))


def parse_duration(text: str) -> float:
    """Parse a time such as ``"2h"`` into seconds."""
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
