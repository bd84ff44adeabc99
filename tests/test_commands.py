from pathlib import Path

import pytest

from adapert.commands import DEFAULT_WORKSPACE, in_workspace


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path.resolve() / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_workspace_that_commands_take_by_default_is_not_named(here: Path) -> None:
    for place in (DEFAULT_WORKSPACE, Path("w2/../runs"), here / "runs"):
        assert in_workspace(place, "search") == "search"


def test_another_workspace_is_named_as_briefly_as_it_is_found_from_here(here: Path) -> None:
    for place in (Path("w2"), here / "w2", here.parent / "here" / "w2"):
        assert in_workspace(place, "search") == "search --workspace w2"
    assert in_workspace(here.parent / "runs", "search") == f"search --workspace {here.parent / 'runs'}"
    assert in_workspace(Path("../runs"), "search") == "search --workspace ../runs"


def test_words_are_quoted_for_a_shell() -> None:
    assert in_workspace(Path("my runs"), "a b", "c") == "'a b' c --workspace 'my runs'"
