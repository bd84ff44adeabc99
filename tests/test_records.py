import pytest

from adapert.records import Tag


@pytest.mark.parametrize("tag", Tag)
def test_a_tag_is_stored_under_its_own_name(tag: Tag) -> None:
    """Stores of earlier versions are read by it, wherever the code of a tag has moved."""
    assert tag.value.removeprefix("adapert.") == tag.name.lower()
