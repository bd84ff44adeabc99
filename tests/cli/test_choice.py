"""`adapert pick`: what it writes, and what a user can get wrong."""

from fixtures.command import RunCommand
from fixtures.store import Store


def test_pick_makes_the_directory_of_its_file(adapert: RunCommand, store: Store, tmp_path):
    ended = adapert("pick", "search_wide", "--out", "a/b/best.yaml", "--workspace", store.directory)
    assert ended.status == 0
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["best.yaml"]


def test_pick_refuses_a_directory_in_place_of_its_file(refused, store: Store, tmp_path):
    (tmp_path / "best").mkdir()
    message = refused("pick", "search_wide", "--out", "best", "--workspace", store.directory)
    assert "'best'" in message
