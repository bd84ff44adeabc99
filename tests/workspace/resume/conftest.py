import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.ledger import HandMade, MakeLedger
from fixtures.resumed import DESIGN, RESUMED, Operated
from rich.console import Console

from adapert.config import Config
from adapert.study.engine.limits import Limits
from adapert.study.engine.requests import has_requests
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Design, Search
from adapert.tracking.runs import Connect


@pytest.fixture
def begun(make_ledger: MakeLedger, tmp_path: Path, workspace: Path) -> MakeLedger:
    """A study of some data that a process has taken up and left."""
    write_prepared(build_tiny_dataset(), tmp_path / "prepared")

    def make(plan: Design | Search = DESIGN, name: str = "try", **options: Any) -> HandMade:
        base = Config().with_changes({"data.path": str(tmp_path / "prepared"), "data.fingerprint": "tiny"})
        made = make_ledger(name, plan, base, workspace, **options)
        had = asdict(Resources(max_concurrent=1)) | {"of_a_later_version": 1}
        made.opened(resources=had, limits=Limits(target=0.9))
        return made

    return make


@pytest.fixture
def operated(monkeypatch: pytest.MonkeyPatch) -> Operated:
    """The arguments that a study was resumed with, instead of resuming it."""
    calls: Operated = []

    def operate(
        folder: Path, resources: Resources, limits: Limits, console: Console, connect: Connect, data: Path
    ) -> object:
        calls.append((folder, resources, limits, data, has_requests(folder)))
        return RESUMED

    monkeypatch.setattr("adapert.workspace.resume.operate", operate)
    return calls


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=300)
