"""The entry point: what every command shares, and how each ends."""

import atexit
import errno
import gc
import io
import logging
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from adapert import __version__
from adapert.cli.as_json import stdout_put_back
from adapert.cli.options import Quiet, Verbose, set_verbosity
from adapert.cli.printing import LIBRARY, LogHandler, console, print_error
from adapert.errors import InputError, nearest, number_kind
from adapert.process import NO_TELEMETRY, default_environment, log_levels

if TYPE_CHECKING:
    from adapert.study.engine.runner import Closing

MEANT = {
    **dict.fromkeys(("list", "ps", "studies"), "ls"),
    **dict.fromkeys(("show", "trials"), "status STUDY"),
    **dict.fromkeys(("run", "start", "search", "tune", "optimize"), "launch search"),
    **dict.fromkeys(("ablate", "ablation"), "launch ablation"),
    **dict.fromkeys(("plot", "draw"), "figures"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    "best": "pick",
    "mlflow": "ui",
}
"""Words of other tools to the command that does the same."""


class CommandGroup(TyperGroup):
    """Commands, of which a word that names none is answered by the one that is meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command.

        Raises:
            InputError: There is none of this name.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            meant = f" Did you mean 'adapert {MEANT[name]}'?" if name in MEANT else ""
            suggestion = meant or nearest(name, self.list_commands(ctx))
            raise InputError(f"There is no command '{name}'.{suggestion} See 'adapert --help'.")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="adapert",
    cls=CommandGroup,
    help="Search, ablate and compare configs of AdaPert, a model of responses to unseen perturbations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


RAY_LOST = 75
"""Exit status if Ray was lost: EX_TEMPFAIL of sysexits.h, since a restart continues."""

INTERRUPTED = 130


def exit_status(closing: "Closing") -> int:
    """Exit status of a command that left a study so: 0 if the study ended as it was asked to."""
    from adapert.records import TrialStatus

    if closing.is_ray_lost:
        return RAY_LOST
    return {TrialStatus.INTERRUPTED: INTERRUPTED, TrialStatus.FAILED: 1}.get(closing.status, 0)


@stdout_put_back()
@log_levels({LIBRARY.name: logging.INFO})
@default_environment(NO_TELEMETRY)
def main() -> None:
    """Run the command: a user's mistake is one sentence and status 2; a traceback only with --verbose."""
    # The interpreter's last look for garbage, among all that torch and MLflow made, took seconds.
    atexit.register(gc.freeze)
    LIBRARY.addHandler(LogHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # in an ASCII locale, a name or a ± must not end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _command()(prog_name="adapert", standalone_mode=False)
    except typer.TyperException as error:
        status = error.exit_code
        # Without any argument the help was printed, and there is no message.
        if error.format_message():
            command = getattr(
                getattr(error, "ctx", None), "command_path", " ".join(["adapert", *sys.argv[1:2]])
            )
            print_error(f"{_describe_usage_error(error)} See '{command} --help'.")
    except InputError as error:
        status = 2
        LIBRARY.debug("The error arose here:", exc_info=True)
        print_error(_sentence(str(error)))
    except OSError as error:
        status = 2
        LIBRARY.debug("The error arose here:", exc_info=True)
        if error.errno == errno.ENOSPC:
            print_error(f"The disk of '{error.filename}' is full. Free some space and try again.")
        elif error.filename is not None:
            print_error(
                f"Files must be open to this user, but '{error.filename}' is not: {error.strerror}. "
                "Change its permissions, or name another place."
            )
        elif isinstance(error, FileNotFoundError):
            print_error(_sentence(str(error)))
        else:
            raise
    sys.exit(status)


@cache
def _command() -> Callable[..., int | None]:
    """Build the command, of all that was added to `app`, once in a process."""
    return get_command(app)


def _describe_usage_error(error: typer.TyperException) -> str:
    """Say what is wrong with a word of the command; typer leaves out what was given in place of a number."""
    from pydantic import ValidationError

    if isinstance(error, typer.BadParameter) and isinstance(error.__cause__, ValidationError) and error.param:
        first, option = error.__cause__.errors()[0], error.param.opts[0]
        if kind := number_kind(first["type"]):
            return f"{option} must be {kind}, but it is '{first['input']}'."
        for bound, words in (("ge", "at least"), ("le", "at most")):
            if bound in first.get("ctx", {}):
                return f"{option} must be {words} {first['ctx'][bound]:,}, but it is {first['input']}."
    if possible := getattr(error, "possibilities", None):
        name = error.option_name  # type: ignore[attr-defined]
        return f"There is no option '{name}'.{nearest(name, possible)}"
    said = _sentence(error.format_message())
    if said != "Missing argument 'STUDY'." or error.ctx.info_name == "launch":  # type: ignore[attr-defined]
        return said  # the STUDY of launch is a recipe
    return f"{said} 'adapert ls' lists the studies."


def _sentence(message: str) -> str:
    """Put a message on one line and end it: parsers' own messages have several lines and no full stop."""
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    return line if line.endswith((".", "?", "!")) else f"{line}."


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        console.print(f"adapert {__version__}")
        raise typer.Exit


@app.callback()
def _begin(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    set_verbosity(verbose, quiet)
