"""Settings of the whole process, such as log levels: changed while a block runs, then put back.

A study in a notebook must not change what its user has set for their own Ray, Optuna and MLflow.
"""

import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeAlias

NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true"}
"""Else MLflow tells its makers which of its functions a process calls."""

Setting: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Changes something of the process for a block."""


@contextmanager
def log_levels(levels: Mapping[str, int]) -> Iterator[None]:
    """Set loggers' levels while the block runs; handlers that packages add meanwhile are removed again.

    Args:
        levels: Name of a logger to its level. A package that sets its own level must be imported before.
    """
    loggers = {logging.getLogger(name): level for name, level in levels.items()}
    # A copy: packages change the list in place.
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables while the block runs.

    Args:
        variables: Name to value; None unsets one.
    """
    before = {name: os.environ.get(name) for name in variables}
    set_variables(variables)
    try:
        yield
    finally:
        set_variables(before)


@contextmanager
def default_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """As `environment`, but what the user has set stays."""
    with environment({name: value for name, value in variables.items() if name not in os.environ}):
        yield


def set_variables(variables: Mapping[str, str | None]) -> None:
    """Set environment variables; None unsets one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def signal_handlers(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals while the block runs; whatever handlers it sets itself are put back too."""
    before = {number: signal.getsignal(number) for number in handlers}
    try:
        set_handlers(handlers)
        yield
    finally:
        set_handlers(before)


def set_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    """Handle signals."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


class _Entered:
    """Settings that were entered, each once, and how to leave them."""

    def __init__(self) -> None:
        self._settings: set[Setting] = set()
        self._leave = ExitStack()

    def enter(self, setting: Setting) -> None:
        if setting not in self._settings:
            self._settings.add(setting)
            self._leave.enter_context(setting())

    def leave(self) -> None:
        self._settings.clear()
        self._leave.close()


class _Blocks:
    """How many blocks are under way, over all threads, and what was entered within and outside of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_open = 0
        self.within, self.outside = _Entered(), _Entered()


_BLOCKS = _Blocks()


@contextmanager
def settings_put_back() -> Iterator[None]:
    """Put back, when the block ends, what `set_until_block_ends` has set in it, and the state of `random`.

    Of several blocks that overlap, also in other threads, the last one to end puts all back.
    """
    with _BLOCKS.lock:
        _BLOCKS.n_open += 1
        _BLOCKS.within.enter(_without_widgets)
    drawn = random.getstate()  # Ray and MLflow draw from it
    try:
        yield
    finally:
        random.setstate(drawn)
        with _BLOCKS.lock:
            _BLOCKS.n_open -= 1
            if not _BLOCKS.n_open:
                _BLOCKS.within.leave()


@contextmanager
def _without_widgets() -> Iterator[None]:
    """Keep tqdm quiet where packages import it in a notebook without ipywidgets: no bar is shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        yield


def set_until_block_ends(setting: Setting) -> None:
    """Enter a setting once, until `settings_put_back` ends; outside of it, as long as the process lives.

    For what can only be set once a package is imported, somewhere within a call.
    """
    with _BLOCKS.lock:
        entered = _BLOCKS.within if _BLOCKS.n_open else _BLOCKS.outside
        entered.enter(setting)
