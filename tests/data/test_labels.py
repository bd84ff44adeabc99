import pytest

from adapert.data.labels import LEFT_OUT, canonical_labels, is_control_word

KNOWN = {"KLF1", "MAP2K6", "SET", "CTRL", "H2A_X"}


@pytest.mark.parametrize(
    ("label", "canonical"),
    [
        ("KLF1", "KLF1"),
        ("KLF1+MAP2K6", "KLF1+MAP2K6"),
        ("SET+KLF1", "KLF1+SET"),
        ("KLF1 + SET", "KLF1+SET"),
        ("KLF1+KLF1", "KLF1"),
        ("KLF1+NOBODY", "KLF1+NOBODY"),
        ("KLF1_MAP2K6", "KLF1+MAP2K6"),
        ("KLF1_NOBODY", "KLF1_NOBODY"),
        ("H2A_X", "H2A_X"),
        ("H2A_X+KLF1", "H2A_X+KLF1"),
        ("KLF1+ctrl", "KLF1"),
        ("ctrl+KLF1", "KLF1"),
        ("KLF1_ctrl", "KLF1"),
        ("NegCtrl0_KLF1", "KLF1"),
        ("ctrl+ctrl", "control"),
        ("ctrl_ctrl", "control"),
        ("control", "control"),
        ("Control", "control"),
        ("CTRL", "control"),
        ("ctrl", "control"),
        ("NT", "control"),
        ("non-targeting", "control"),
        ("non_targeting", "control"),
        ("Non-Targeting_0012", "control"),
        ("nontargeting", "control"),
        ("unperturbed", "control"),
        ("negative control", "control"),
        ("NT5E", "NT5E"),
    ],
)
def test_label_becomes_canonical(label, canonical):
    assert canonical_labels([label], KNOWN) == {label: canonical}


@pytest.mark.parametrize(
    ("label", "canonical"),
    [
        ("safe", "control"),
        ("KLF1+safe", "KLF1"),
        ("safe+KLF1", "KLF1"),
        ("KLF1+ctrl", "KLF1"),
        ("unperturbed", LEFT_OUT),
        ("KLF1", "KLF1"),
    ],
)
def test_named_control_replaces_the_usual_words(label, canonical):
    assert canonical_labels([label], KNOWN, control="safe") == {label: canonical}


def test_gene_that_looks_like_a_numbered_control_stays_a_gene():
    assert not is_control_word("NT5", {"NT5"})
    assert is_control_word("NT5")
