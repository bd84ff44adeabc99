import pytest

from adapert.data.labels.words import is_control_word, is_date, is_missing_word, is_unassigned_word


@pytest.mark.parametrize(
    "label",
    [
        "control",
        "Non-Targeting_0012",
        "NonTargetingControlGuideForHuman_0001",
        "negative control",
        "NegCtrl10",
        "CTRL00320",
        "3x_neg_ctrl",
        "INTERGENIC1144056",
        "NO_SITE_12",
        "ONE_NON-GENE_SITE_7",
        "scramble",
        "safe-targeting",
        "62(mod)",
        "Gal4-4(mod)",
    ],
)
def test_control_words_of_public_screens_are_known(label: str) -> None:
    assert is_control_word(label)


@pytest.mark.parametrize(
    "label", ["NT5E", "KLF1", "CTRL+KLF1", "site", "GFP", "non-targeting_KLF1", "KLF1+62(mod)"]
)
def test_other_words_are_no_controls(label: str) -> None:
    assert not is_control_word(label)


def test_gene_that_looks_like_a_numbered_control_stays_a_gene() -> None:
    assert not is_control_word("NT5", {"NT5"})
    assert is_control_word("NT5")


@pytest.mark.parametrize("label", ["None", "-", "nan", "NaN", "NA", "N/A", "<NA>", "null"])
def test_words_for_no_value_are_known(label: str) -> None:
    assert is_missing_word(label)


@pytest.mark.parametrize(
    "label",
    [
        "*",
        "unassigned",
        "Multiplet",
        "multiplet_2",
        "doublet",
        "Unknown",
        "ambiguous",
        "no guide",
        "Negative",
    ],
)
def test_words_for_unassigned_cells_are_known(label: str) -> None:
    assert is_unassigned_word(label)


@pytest.mark.parametrize(
    "name", ["1-Mar", "Sep-02", "01-DEC", "2023-03-01", "2023-03-01 00:00:00", "3/1/2023"]
)
def test_dates_of_spreadsheets_are_known(name: str) -> None:
    assert is_date(name)


@pytest.mark.parametrize("name", ["MARCH1", "NKX2-1", "SEPT2", "H1-2", "MAR-1a"])
def test_symbols_are_no_dates(name: str) -> None:
    assert not is_date(name)
