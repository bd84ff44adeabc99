import io
import shutil
from pathlib import Path

import optuna
import pytest
from fixtures.ledger import MakeLedger
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage, RDBStorage
from rich.console import Console

from adapert.records import EndReason, TrialStatus
from adapert.study.engine.ledger import read_identity
from adapert.study.engine.limits import Limits
from adapert.study.engine.search import JOURNAL_FILE, Owner, Suggestions, open_storage
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Design, Search
from adapert.tracking.store import open_store
from adapert.workspace.session import _open_storage, operate

SEARCH = Search(space={"model.tau": FloatDistribution(0.1, 2.0)})


def test_without_optunas_database_a_study_goes_on_with_a_file_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"sqlite:///{tmp_path}/gone/optuna.db"
    assert isinstance(_open_storage(address, tmp_path, "try", Owner()), JournalStorage)
    assert (tmp_path / JOURNAL_FILE).is_file()
    (warning,) = caplog.messages
    assert warning.startswith("Optuna's database cannot be opened: ")
    assert "continues with a file, rebuilt from its ledger" in warning


def test_a_copied_study_goes_on_with_a_file_and_leaves_its_original_s_database_alone(
    make_ledger: MakeLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"sqlite:///{tmp_path}/optuna.db"
    original = make_ledger(plan=SEARCH).folder
    owner = Owner(str(original), read_identity(original))
    Suggestions(SEARCH, "try", open_storage(address, original), owner).suggest(0)
    copied = shutil.copytree(original, tmp_path / "copied")
    storage = _open_storage(address, copied, "try", Owner(str(copied), read_identity(copied)))
    assert isinstance(storage, JournalStorage)
    assert "a copy of, and stays as it is. This study continues with a file" in caplog.text
    assert len(optuna.load_study(study_name="try", storage=address).trials) == 1
    assert isinstance(_open_storage(address, original, "try", owner), RDBStorage)


def test_a_study_that_had_ended_runs_nothing_and_says_so(make_ledger: MakeLedger, tmp_path: Path) -> None:
    made = make_ledger(plan=Design(kind="ablation", variants={"full": {}}, n_seeds=1))
    made.opened()
    made.asked("001")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "no")
    made.closed(TrialStatus.FAILED)
    result = operate(
        made.folder, Resources(), Limits(), Console(file=io.StringIO()), lambda: open_store(tmp_path)
    )
    assert (result.had_ended, result.count(TrialStatus.FAILED)) == (True, 1)
