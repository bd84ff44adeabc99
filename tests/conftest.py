"""Fixtures that tests of several rooms share."""

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
]
