"""What TAB completes, as the shell asks for it: by environment variables of the command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.command import RunCommand
from fixtures.ledger import MakeLedger

from adapert.config import Config, model_names
from adapert.study.plan.peers import PEERS
from adapert.study.plan.recipes import recipe_names

Complete = Callable[[str], list[str]]


def asked(words: str) -> dict[str, str]:
    """What bash sets when TAB is typed behind some words."""
    number = len(words.split()) - (not words.endswith(" "))
    return {"_ADAPERT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}


@pytest.fixture
def complete(adapert: RunCommand, monkeypatch: pytest.MonkeyPatch) -> Complete:
    def run(words: str) -> list[str]:
        for name, value in asked(words).items():
            monkeypatch.setenv(name, value)
        ended = adapert()
        assert ended.err == ""
        return ended.out.split()

    return run


@pytest.fixture
def workspace(make_ledger: MakeLedger) -> None:
    for trial in ("001", "012"):
        make_ledger(f"search_{trial}").asked(trial)
    make_ledger("search_012_b").asked("007")


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("adapert status ", ["search_001", "search_012", "search_012_b"]),
        ("adapert watch search_012_", ["search_012_b"]),
        ("adapert resume search_012", ["search_012", "search_012_b"]),
        ("adapert report search_001 search_012_", ["search_012_b"]),
        ("adapert predict search_001/", ["search_001/001"]),
        ("adapert compare search_001/001 search_012/0", ["search_012/012"]),
        ("adapert stop search_012_b 0", ["007"]),
        ("adapert predict other/", []),
        ("adapert status --workspace other ", []),
        ("adapert sta", ["status"]),
    ],
)
def test_studies_and_trials_of_the_workspace_are_completed(
    complete: Complete, words: str, completed: list[str]
) -> None:
    assert complete(words) == completed


def test_recipes_models_and_fields_are_completed(complete: Complete) -> None:
    assert complete("adapert launch ") == sorted([PEERS, *recipe_names()])
    assert complete("adapert config --model ") == list(model_names())
    assert complete("adapert launch search --set ") == [f"{name}=" for name in Config().flat()]


@pytest.mark.usefixtures("workspace")
def test_completion_imports_nothing_slow(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom adapert.cli import main\n"
        "sys.argv = ['adapert']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "slow = {'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'numpy'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked("adapert predict search_001/"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n") == ["search_001/001", "[]", ""]
