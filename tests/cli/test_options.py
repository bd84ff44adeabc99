"""Words that several commands read alike."""

import pytest

from adapert.cli.options import parse_changes, split_list
from adapert.errors import InputError


@pytest.mark.parametrize("words", [["a,b", "c"], ["a b c"], ["a, b", ",c "], ["a", "b", "c"]])
def test_a_list_is_given_by_commas_by_spaces_or_word_by_word(words: list[str]) -> None:
    assert split_list("--models", words) == ["a", "b", "c"]


def test_a_list_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--models must be a list such as a,b or 'a b', but it is ', '\.$"):
        split_list("--models", [", "])
    assert split_list("--models", []) == []


@pytest.mark.parametrize(
    "given",
    [
        ["model.tau=0.5", "data.embeddings=text+rpe1", "data.path=a b, c=d"],
        ["model.tau=0.5,data.embeddings=text+rpe1 data.path=a b, c=d"],
    ],
)
def test_changes_are_given_one_by_one_or_as_a_list(given: list[str]) -> None:
    assert parse_changes(given, None) == {
        "model.tau": 0.5,
        "data.embeddings": "text+rpe1",
        "data.path": "a b, c=d",
    }
