"""The `adapert` command: one module for the commands of each kind.

Everything heavy is imported inside the command that needs it, so that help and refusals come at once.
"""

from collections.abc import Callable

from adapert.cli.choice import pick
from adapert.cli.data import prepare, simulate
from adapert.cli.entry import app, main
from adapert.cli.evaluation import evaluate
from adapert.cli.fields import config
from adapert.cli.machine import doctor
from adapert.cli.options import ListCommand, with_shared_options
from adapert.cli.pair import compare
from adapert.cli.reporting import report
from adapert.cli.runs import predict, rerun
from adapert.cli.showing import figures, ui
from adapert.cli.studies import extend, launch, reproduce, resume, stop, sync, train
from adapert.cli.watching import ls, status, watch

__all__ = ["app", "main"]

COMMANDS: tuple[Callable[..., None], ...] = (
    simulate,
    prepare,
    config,
    launch,
    train,
    ls,
    status,
    watch,
    resume,
    extend,
    stop,
    sync,
    reproduce,
    pick,
    evaluate,
    compare,
    predict,
    rerun,
    figures,
    report,
    ui,
    doctor,
)
"""Commands in the order of the help."""

for command in COMMANDS:
    app.command(cls=ListCommand)(with_shared_options(command))
