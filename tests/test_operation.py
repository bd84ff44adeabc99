import io

from optuna.storages import JournalStorage
from rich.console import Console

from adapert.operation import _open_storage
from adapert.study.search import JOURNAL_FILE


def test_without_optunas_database_a_study_goes_on_with_a_file_and_says_so(tmp_path):
    console = Console(file=io.StringIO(), width=500)
    address = f"sqlite:///{tmp_path}/gone/optuna.db"
    assert isinstance(_open_storage(address, tmp_path, console), JournalStorage)
    assert (tmp_path / JOURNAL_FILE).is_file()
    printed = console.file.getvalue()
    assert printed.startswith("Optuna's database cannot be opened: ")
    assert "goes on with a file, rebuilt from its ledger" in printed
