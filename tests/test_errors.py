import pytest

from adapert.errors import format_count, join_words, nearest


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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("figure_4_ablaton", "figure_4_ablation"),
        ("Figure 5", "figure_5_sensitivity"),
        ("table_1", "table_1_performance"),
        ("fi", ""),
        ("tau", "model.tau"),
        ("other", ""),
    ],
)
def test_the_nearest_name_may_be_begun_or_mistyped(name: str, meant: str) -> None:
    known = ["figure_4_ablation", "figure_5_sensitivity", "table_1_performance", "model.tau"]
    assert nearest(name, known) == (f" Did you mean '{meant}'?" if meant else "")
