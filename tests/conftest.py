"""Fixtures that tests of several rooms share."""

import gc
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

pytest_plugins = [
    "fixtures.threads",
    "fixtures.store",
    "fixtures.comparison",
    "fixtures.dataset",
    "fixtures.command",
    "fixtures.preparing",
    "fixtures.launched",
    "fixtures.workspace",
    "fixtures.real_data",
    "fixtures.servers",
    "fixtures.ledger",
    "fixtures.trained",
    "fixtures.edited",
    "fixtures.process",
    "fixtures.logged",
    "fixtures.packaged",
    "fixtures.peers",
    "fixtures.pictures",
]

# What is imported and collected lives to the end: to look through it for garbage again and again took as long
# as to collect it.
gc.disable()


MEMORY, ROOM_GIB = Path("/dev/shm"), 2


def pytest_configure(config: pytest.Config) -> None:
    """Keep the files of fast tests in memory, where it has room: thousands of lines are synced to disk each.

    What slow tests write may be larger than memory.
    """
    is_fast = config.option.markexpr == "not slow"
    if is_fast and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_GIB * 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage again once the tests are known, and among what they make alone."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000)
        gc.enable()
