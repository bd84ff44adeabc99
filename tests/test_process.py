"""The process that adapert is called in is left as it was."""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import Logger
from pathlib import Path

import pytest
from fixtures.process import find_changed, read_settings
from fixtures.trained import SMALL, Trained

import adapert
from adapert.errors import InputError
from adapert.process import (
    default_environment,
    environment,
    log_levels,
    set_until_block_ends,
    settings_put_back,
    signal_handlers,
)

Call = Callable[[Path, Path], object]
"""Takes a workspace with the study ``forms``, and its data."""


def evaluate(workspace: Path, prepared: Path) -> object:
    from adapert.comparison.plan import ComparisonPlan

    plan = ComparisonPlan(split="test", models=("control", "mean"), n_threads=1)
    return adapert.evaluate(data=prepared, workspace=workspace, plan=plan)


def predict(workspace: Path, prepared: Path) -> object:
    from adapert.data.prepared import read_prepared

    perturbations = read_prepared(prepared).splits["validation"].table.perturbations
    return adapert.predict("forms", str(perturbations[0]), workspace)


def prepare(workspace: Path, prepared: Path) -> object:
    made = prepared.parent / "input"
    cells, network, text = made / "cells.h5ad", made / "network.tsv.gz", made / "text.npz"
    return adapert.prepare(cells, network, text, workspace / "data", split_fractions=(0.5, 0.25, 0.25))


def launch(workspace: Path, prepared: Path) -> object:
    return adapert.launch("quickstart", prepared, workspace, changes=SMALL, budget={"n_trials": 2})


def launch_on_ray(workspace: Path, prepared: Path) -> object:
    return adapert.launch(
        "quickstart", prepared, workspace, changes=SMALL, budget={"n_trials": 2}, executor="ray"
    )


CALLS: dict[str, Call] = {
    "prepare": prepare,
    "launch": launch,
    "rerun": lambda workspace, _: adapert.rerun("forms/005", workspace),
    "load_trials": lambda workspace, _: adapert.load_trials("forms", workspace),
    "load_metrics": lambda workspace, _: adapert.load_metrics("forms", workspace),
    "pick": lambda workspace, _: adapert.pick("forms", workspace, is_reevaluated=False),
    "evaluate": evaluate,
    "compare": lambda workspace, _: adapert.compare("forms/001", "forms/002", workspace),
    "predict": predict,
    "draw_figures": lambda workspace, _: adapert.draw_figures("forms", workspace, only="figure_4_ablation"),
    "write_report": lambda workspace, _: adapert.write_report("forms", workspace),
}

REFUSED: dict[str, Call] = {
    "prepare": lambda workspace, prepared: adapert.prepare(prepared, prepared, prepared, workspace / "data"),
    "launch": lambda workspace, prepared: adapert.launch(
        "quickstart", prepared, workspace, stores=_stores("postgresql+psycopg2://me:secret@127.0.0.1:9/x")
    ),
    "load_trials": lambda workspace, _: adapert.load_trials("frms", workspace),
    "load_metrics": lambda workspace, _: adapert.load_metrics("frms", workspace),
    "pick": lambda workspace, _: adapert.pick("frms", workspace),
    "evaluate": lambda workspace, _: adapert.evaluate(workspace=workspace),
    "compare": lambda workspace, _: adapert.compare("frms", "forms", workspace),
    "predict": lambda workspace, _: adapert.predict("forms", "NOGENE", workspace),
    "rerun": lambda workspace, _: adapert.rerun("forms/006", workspace),
    "draw_figures": lambda workspace, _: adapert.draw_figures("frms", workspace),
    "write_report": lambda workspace, _: adapert.write_report("frms", workspace),
}


def _stores(address: str) -> object:
    from adapert.workspace.launch import Stores

    return Stores(tracking_uri=address)


@pytest.fixture
def forms(trained: Trained, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the trained study's workspace, and its data."""
    shutil.copytree(trained.workspace, tmp_path / "runs")
    return tmp_path / "runs", trained.prepared


def test_every_function_is_called_here() -> None:
    assert set(CALLS) == set(REFUSED) == {name for name in adapert.__all__ if name[0] != "_"}


@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_the_process_as_it_was(forms: tuple[Path, Path], name: str) -> None:
    before = read_settings()
    CALLS[name](*forms)
    assert find_changed(before, read_settings()) == {}


@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("name", REFUSED)
def test_a_call_that_raises_leaves_the_process_as_it_was(forms: tuple[Path, Path], name: str) -> None:
    before = read_settings()
    with pytest.raises(InputError, match=r"\w"):
        REFUSED[name](*forms)
    assert find_changed(before, read_settings()) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("own_settings")
def test_a_study_on_ray_leaves_the_process_as_it_was(forms: tuple[Path, Path]) -> None:
    before = read_settings()
    launch_on_ray(*forms)
    assert find_changed(before, read_settings()) == {}


# the parts


@contextmanager
def _quiet() -> Iterator[None]:
    with log_levels({"adapert.a": logging.ERROR}):
        yield


def level() -> int:
    return logging.getLogger("adapert.a").level


@pytest.fixture
def loud() -> Iterator[Logger]:
    """A logger of a user's."""
    logger = logging.getLogger("adapert.a")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(logging.NOTSET)


def test_levels_and_handlers_are_put_back_also_after_an_error(loud: Logger) -> None:
    def fail() -> None:
        loud.addHandler(logging.NullHandler())
        raise ValueError(f"at level {level()}")

    with pytest.raises(ValueError, match="at level 40"), log_levels({"adapert.a": logging.ERROR}):
        fail()
    assert (level(), loud.handlers) == (logging.DEBUG, [])


def test_variables_are_put_back_also_those_that_were_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPERT_A", "mine")
    monkeypatch.delenv("ADAPERT_B", raising=False)
    with environment({"ADAPERT_A": None, "ADAPERT_B": "theirs"}):
        assert "ADAPERT_A" not in os.environ
    assert (os.environ["ADAPERT_A"], "ADAPERT_B" in os.environ) == ("mine", False)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPERT_A", "mine")
    monkeypatch.delenv("ADAPERT_B", raising=False)
    with default_environment({"ADAPERT_A": "theirs", "ADAPERT_B": "theirs"}):
        assert (os.environ["ADAPERT_A"], os.environ["ADAPERT_B"]) == ("mine", "theirs")
    assert (os.environ["ADAPERT_A"], "ADAPERT_B" in os.environ) == ("mine", False)


def test_signals_are_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with signal_handlers({signal.SIGHUP: signal.SIG_IGN}):
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) == before


def test_what_is_set_within_a_block_is_put_back_at_its_end(loud: Logger) -> None:
    with settings_put_back():
        set_until_block_ends(_quiet)
        set_until_block_ends(_quiet)
        assert level() == logging.ERROR
    assert level() == logging.DEBUG


def test_of_blocks_in_two_threads_the_last_to_end_puts_all_back(loud: Logger) -> None:
    is_set, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with settings_put_back():
            set_until_block_ends(_quiet)
            is_set.set()
            may_end.wait()

    thread = threading.Thread(target=other)
    with settings_put_back():
        thread.start()
        is_set.wait()
    assert level() == logging.ERROR
    may_end.set()
    thread.join()
    assert level() == logging.DEBUG
