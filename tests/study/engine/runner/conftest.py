from pathlib import Path

import pytest

from adapert.study.engine.ledger import LEDGER_FILE


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def ledger_path(study_folder: Path) -> Path:
    return study_folder / LEDGER_FILE


@pytest.fixture(autouse=True)
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits and requests are looked at in each round, whatever the clock says."""
    monkeypatch.setattr("adapert.study.engine.runner.LOOK_EVERY", 0.0)
