import itertools

import pandas as pd
import pytest

from adapert.data.labels.rule import (
    LEFT_OUT,
    NO_LABEL,
    OTHER_CONTROL,
    UNASSIGNED,
    LabelRule,
    fold,
    guide_target,
)
from adapert.data.schema import CONTROL

KNOWN = {"KLF1", "MAP2K6", "SET", "CTRL", "H2A_X", "A2M", "HLA-A", "LIF", "Ifngr1", "CEBPA"}

RULE = LabelRule(known_genes=KNOWN, gene_ids={"ENSG00000105610": "KLF1"})


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("KLF1", "KLF1"),
        (" KLF1", "KLF1"),
        ("KLF1 ", "KLF1"),
        ("KLF1\u00a0", "KLF1"),
        ("\ufeffKLF1\t", "KLF1"),
        ("KLF1+MAP2K6", "KLF1+MAP2K6"),
        ("SET+KLF1", "KLF1+SET"),
        ("KLF1 + SET", "KLF1+SET"),
        ("KLF1+KLF1", "KLF1"),
        ("KLF1+", "KLF1"),
        ("KLF1+NOBODY", "KLF1+NOBODY"),
        ("SOME+ONE", "ONE+SOME"),
        ("KLF1_MAP2K6", "KLF1+MAP2K6"),
        ("KLF1_NOBODY", "KLF1_NOBODY"),
        ("H2A_X", "H2A_X"),
        ("HLA-A", "HLA-A"),
        ("NKX2-1", "NKX2-1"),
        ("H2A_X+KLF1", "H2A_X+KLF1"),
        ("KLF1+ctrl", "KLF1"),
        ("ctrl+KLF1", "KLF1"),
        ("KLF1_ctrl", "KLF1"),
        ("NegCtrl0_KLF1", "KLF1"),
        ("ctrl+ctrl", CONTROL),
        ("ctrl_ctrl", CONTROL),
        ("Control", CONTROL),
        ("CTRL", CONTROL),
        ("NT", CONTROL),
        ("non_targeting", CONTROL),
        ("NT5E", "NT5E"),
        # Combinations in other hands.
        ("KLF1;SET", "KLF1+SET"),
        ("KLF1, SET", "KLF1+SET"),
        ("SET|KLF1", "KLF1+SET"),
        ("KLF1__SET", "KLF1+SET"),
        ("KLF1 & SET", "KLF1+SET"),
        ("KLF1/SET", "KLF1+SET"),
        ("KLF1,KLF1", "KLF1"),
        ("KLF1;ctrl", "KLF1"),
        ("KLF1;NOBODY", "KLF1;NOBODY"),
        ("KLF1|1", "KLF1|1"),
        # Norman's identities.
        ("KLF1_NegCtrl0__KLF1_NegCtrl0", "KLF1"),
        ("NegCtrl0_KLF1__NegCtrl0_KLF1", "KLF1"),
        ("SET_KLF1__SET_KLF1", "KLF1+SET"),
        ("NegCtrl0_NegCtrl10__NegCtrl0_NegCtrl10", CONTROL),
        ("KLF1_NegCtrl0__KLF1_NegCtrl0_2", "KLF1"),
        # `+` in a name that is no combination of genes.
        ("2i (LIF+MEKi+GSK3i)", "2i (LIF&MEKi&GSK3i)"),
        # Guides.
        ("A2M_1", "A2M"),
        ("A2M-2", "A2M"),
        ("A2M.3", "A2M"),
        ("Ifngr1g2", "Ifngr1"),
        ("sgKLF1", "KLF1"),
        ("sgRNA_KLF1_2", "KLF1"),
        ("p_sgKLF1_2", "KLF1"),
        ("p_INTERGENIC1144056", CONTROL),
        ("Tcrlib_KLF1_1", "KLF1"),
        ("Tcrlib_CTRL00320_1", CONTROL),
        ("KLF1_ACGTACGTACGTACGTACGT", "KLF1"),
        ("KLF1_+_12997774.23-P1P2", "KLF1"),
        ("KLF1_+_12997774.23-P1P2|KLF1_-_12997811.23-P1P2", "KLF1"),
        ("KLF1_pDS255", "KLF1"),
        ("KLF1_only_pMJ145", "KLF1"),
        ("KLF1_SET_pMJ150", "KLF1+SET"),
        ("62(mod)_pBA581", CONTROL),
        ("A2M_1+KLF1_2", "A2M+KLF1"),
        ("NTg4", CONTROL),
        ("NOBODY_1", "NOBODY_1"),
        # Rows of Replogle in bulk.
        ("0_KLF1_P1P2_ENSG00000105610", "KLF1"),
        ("0_EKLF_P1P2_ENSG00000105610", "KLF1"),
        ("101_KLF1_P1_nan", "KLF1"),
        ("7_NOBODY_P1_ENSG00000000007", "NOBODY"),
        ("10752_non-targeting_non-targeting_non-targeting", CONTROL),
        # Ensembl's numbers.
        ("ENSG00000105610", "KLF1"),
        ("ENSG00000105610.4", "KLF1"),
        ("ENSG00000000007.1", "ENSG00000000007"),
        ("ENSG00000105610+SET", "KLF1+SET"),
        # Another case.
        ("klf1", "KLF1"),
        ("IFNGR1", "Ifngr1"),
        # Dates.
        ("1-Mar", "1-Mar"),
        ("Sep-02", "Sep-02"),
    ],
)
def test_label_has_one_name(label: str, name: str) -> None:
    assert RULE.read(label).name == name


@pytest.mark.parametrize("label", ["", " ", "+", " + ", "_", "nan", "None", "NA", None])
def test_label_that_says_nothing_is_missing_and_no_control(label: str | None) -> None:
    assert RULE.read(label).left_out == NO_LABEL
    assert RULE.read(label).name == LEFT_OUT


@pytest.mark.parametrize("label", ["", "+", "nan", None])
def test_missing_label_is_a_control_where_that_is_asked_for(label: str | None) -> None:
    assert LabelRule(is_missing_control=True).read(label).name == CONTROL


@pytest.mark.parametrize("label", ["unassigned", "Multiplet", "*", "unknown", "KLF1+multiplet", "KLF1+nan"])
def test_cell_that_is_not_assigned_is_left_out(label: str) -> None:
    assert RULE.read(label).left_out == UNASSIGNED


@pytest.mark.parametrize(
    "label", ["A2M_1", "sgKLF1", "KLF1_pDS255", "0_KLF1_P1P2_ENSG00000105610", "A2M_1+SET"]
)
def test_guide_is_told_from_a_gene(label: str) -> None:
    assert RULE.read(label).is_guide


@pytest.mark.parametrize("label", ["A2M", "HLA-A", "KLF1+SET", "ctrl+KLF1", "ENSG00000105610"])
def test_gene_is_no_guide(label: str) -> None:
    assert not RULE.read(label).is_guide


def test_gene_in_another_case_is_marked() -> None:
    assert RULE.read("klf1").is_other_case
    assert RULE.read("klf1+SET").is_other_case
    assert not RULE.read("KLF1").is_other_case


def test_a_gene_in_two_cases_is_each_where_both_are_known() -> None:
    rule = LabelRule(known_genes={"KLF1"}, measured={"Klf1"})
    assert [rule.read(label).name for label in ("KLF1", "Klf1", "klf1")] == ["KLF1", "Klf1", "Klf1"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("safe", CONTROL),
        (" safe", CONTROL),
        ("safe+safe", CONTROL),
        ("KLF1+safe", "KLF1"),
        ("safe+KLF1", "KLF1"),
        ("KLF1+ctrl", "KLF1"),
        ("KLF1", "KLF1"),
    ],
)
def test_named_control_replaces_the_usual_words(label: str, name: str) -> None:
    rule = LabelRule(known_genes=KNOWN, controls=("safe",))
    assert rule.read(label).name == name
    assert rule.read("unperturbed").left_out == OTHER_CONTROL
    assert rule.read("ctrl+safe").left_out == OTHER_CONTROL


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Safe1", CONTROL),
        ("Safe12", CONTROL),
        ("Safe1+KLF1", "KLF1"),
        ("NegCtrl0", CONTROL),
        ("NegCtrl0_NegCtrl10__NegCtrl0_NegCtrl10", CONTROL),
        ("NegCtrl0_KLF1__NegCtrl0_KLF1", "KLF1"),
        ("SET", "SET"),
        ("S[1]", CONTROL),
    ],
)
def test_pattern_names_controls_and_never_genes(label: str, name: str) -> None:
    rule = LabelRule(known_genes=KNOWN, controls=("Safe*", "NegCtrl*", "S?T", "S[1]"))
    assert rule.read(label).name == name


def test_gene_that_is_named_as_control_is_one() -> None:
    assert LabelRule(known_genes=KNOWN, controls=("A2M",)).read("A2M").name == CONTROL


def test_a_number_is_no_gene_of_a_combination() -> None:
    assert LabelRule(known_genes={"A2M", "1"}).read("A2M_1").name == "A2M"


@pytest.mark.parametrize(
    ("label", "target"),
    [
        ("NOBODY_1", "NOBODY"),
        ("sgNOBODY_2", "NOBODY"),
        ("p_sgNOBODY_2", "NOBODY"),
        ("NOBODYg1", "NOBODY"),
        ("NOBODY_pDS255", "NOBODY"),
        ("NOBODY", None),
        ("NKX2-1", None),
        ("AC012345.1", None),
        ("hit no_1", None),
        ("X" * 200 + "_1", None),
    ],
)
def test_target_of_an_unknown_guide_is_found_where_no_gene_is_written_so(
    label: str, target: str | None
) -> None:
    assert guide_target(label) == target


@pytest.mark.parametrize(
    ("one", "other"),
    [("KLF1", "klf1"), ("ENSG00000105610.1", "ENSG00000105610.12"), ("C1orf112", "C1ORF112")],
)
def test_spellings_of_a_symbol_fold_to_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize("separator", ["+", ";", ",", "|", "&", "/"])
def test_combinations_are_those_of_pandas_indicators(separator: str) -> None:
    genes = ["A2M", "CEBPA", "KLF1", "LIF", "SET"]
    pairs = [pair for size in (1, 2, 3) for pair in itertools.permutations([*genes, "ctrl"], size)]
    labels = pd.Series([separator.join(pair) for pair in pairs])
    indicators = labels.str.get_dummies(separator)[genes].to_numpy(dtype=bool)
    expected = [tuple(gene for gene, is_in in zip(genes, row, strict=True) if is_in) for row in indicators]
    assert [RULE.read(label).genes for label in labels] == expected


def test_reading_does_not_depend_on_what_was_read_before() -> None:
    labels = ["KLF1", "A2M_1", "ctrl+KLF1", "2i (LIF+MEKi+GSK3i)", "*"]
    rule = LabelRule(known_genes=KNOWN)
    forward = [rule.read(label) for label in labels]
    assert forward == [LabelRule(known_genes=KNOWN).read(label) for label in reversed(labels)][::-1]


@pytest.mark.parametrize(
    "label",
    [
        "KLF1" + "_1" * 5_000,
        "_".join(["KLF1"] * 5_000) + "_x",
        "+" * 5_000 + "x",
        "0_" * 2_000 + "A" + "_P1_ENSG1" * 2_000,
    ],
)
def test_label_of_any_length_is_read(label: str) -> None:
    assert RULE.read(label).genes


def test_name_is_read_as_itself() -> None:
    for label in ("KLF1_SET", "2i (LIF+MEKi+GSK3i)", "A2M_1+KLF1_2", "NOBODY_1", "SOME+ONE"):
        name = RULE.read(label).name
        assert RULE.read(name).name == name
