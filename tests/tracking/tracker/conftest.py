from pathlib import Path

import pytest
from fixtures.delivered import BASE
from fixtures.ledger import HandMade, MakeLedger


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapert.tracking.tracker.RETRY_SECONDS", (0.001, 0.01))
    monkeypatch.setattr("adapert.tracking.tracker.PAUSE_SECONDS", 0.0)


@pytest.fixture
def made(make_ledger: MakeLedger, workspace: Path) -> HandMade:
    return make_ledger(base=BASE, workspace=workspace)
