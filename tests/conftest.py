"""Fixtures that tests of several rooms share."""

import gc
from collections.abc import Generator

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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage again once the tests are known, and among what they make alone."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000)
        gc.enable()
