import pytest

from adapert.errors import format_count, join_words


@pytest.mark.parametrize(
    ("n", "said"),
    [(0, "0 trials"), (1, "1 trial"), (1.0, "1 trial"), (2, "2 trials"), (1200, "1,200 trials")],
)
def test_a_count_agrees_with_its_noun(n: float, said: str) -> None:
    assert format_count(n, "trial") == said


def test_words_are_joined_as_in_a_sentence() -> None:
    assert [join_words(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]
