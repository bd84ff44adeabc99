from typing import Any

import numpy as np
import pandas as pd
import pytest

from adapert.data.labels.rule import LEFT_OUT, LabelRule
from adapert.data.labels.understood import Understood, check_covered, note_dates, refuse_apart, understand
from adapert.data.schema import CONTROL
from adapert.errors import InputError

GENES = ["A2M", "C1orf112", "CEBPA", "ELK1", "HLA-A", "IFNGR1", "KLF1", "MAP2K6", "NKX2-1", "SET"]
ALIASES = {"KLF1": ("EKLF",), "EKLF": ("KLF1",)}
CONTROL_PARTS = ["ctrl", "NegCtrl0", "non-targeting", "NT"]


def read(*labels: str | None, **rule: Any) -> Understood:
    column = pd.Series(list(labels), dtype=object)
    return understand(column, LabelRule(known_genes=GENES, aliases=ALIASES, **rule))


def write_gene(generator: np.random.Generator, gene: str) -> str:
    """Write a gene in one of many ways."""
    spelling = generator.choice([gene, gene.lower(), "EKLF" if gene == "KLF1" else gene])
    form = generator.choice(
        ["{}", " {} ", "{}_2", "{}-1", "sg{}", "{}_pDS255", "p_sg{}_7", "{}_ACGTACGTACGTACGTACGT"]
    )
    return str(form.format(spelling))


def write_set(generator: np.random.Generator, genes: tuple[str, ...]) -> str:
    """Write a set of genes in one of many ways: any order, any separator, with controls and repeats."""
    parts = [*generator.permutation(genes).tolist()]
    if generator.random() < 0.3:
        parts.append(parts[0])
    parts = [write_gene(generator, gene) for gene in parts]
    if generator.random() < 0.4:
        parts.insert(generator.integers(len(parts) + 1), generator.choice(CONTROL_PARTS))
    label = generator.choice(["+", " + ", ";", ", ", "|", " & ", "/"]).join(parts)
    return f"{label}__{label}" if generator.random() < 0.1 else label


@pytest.mark.parametrize("seed", range(20))
def test_however_a_set_is_written_it_has_one_name_of_its_own(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sets = {
        tuple(sorted(generator.choice(GENES, generator.integers(1, 4), replace=False))) for _ in range(12)
    }
    written = [(write_set(generator, genes), genes) for genes in sets for _ in range(6)]
    understood = read(*(label for label, _ in written))
    name_of: dict[tuple[str, ...], str] = {}
    set_of: dict[str, tuple[str, ...]] = {}
    for label, genes in written:
        name = understood.names[label]
        assert name_of.setdefault(genes, name) == name
        assert set_of.setdefault(name, genes) == genes


def test_rows_are_counted_by_what_their_labels_say() -> None:
    understood = read("KLF1", "KLF1", "NT", "ctrl", None, "nan", "*", "SET+KLF1")
    assert understood.n_controls == 2
    assert understood.n_left_out == {"without a label": 2, "not assigned to a perturbation": 1}
    assert understood.record()["combinations"] == 1


def test_rows_get_their_names() -> None:
    column = pd.Series(["KLF1", None, "NT", "SET_KLF1", "*"], dtype=object)
    names = understand(column, LabelRule(known_genes=GENES)).names_of(column)
    assert names.tolist() == ["KLF1", LEFT_OUT, CONTROL, "KLF1+SET", LEFT_OUT]


def test_notes_tell_counts_reasons_and_examples() -> None:
    notes = list(
        read("KLF1_pDS255", "A2M_1", "A2M_2", "elk1", "EKLF", "1-Mar", "NT", "*", None).notes("cell")
    )
    assert notes[:3] == [
        "controls: 1 cell ('NT')",
        "left out: 1 cell not assigned to a perturbation ('*')",
        "left out: 1 cell without a label",
    ]
    assert "guides grouped: 4 into 2 perturbations ('A2M_1', 'A2M_2' into 'A2M')" in notes
    assert "labels known in another case only: 1 ('elk1' as 'ELK1')" in notes
    assert "labels of one gene in another spelling: 1 ('EKLF' as 'KLF1')" in notes
    assert notes[-1].startswith("labels that are dates: 1 ('1-Mar')")


def test_plain_labels_are_not_reinterpreted() -> None:
    assert read("KLF1", "KLF1+SET", "SET+A2M", "control").reinterpreted == {}


@pytest.mark.parametrize("label", ["KLF1 ", "KLF1+ctrl", "KLF1_SET", "A2M_1", "NT", "*", "klf1"])
def test_what_is_not_a_name_as_it_stands_is_reinterpreted(label: str) -> None:
    assert list(read(label).reinterpreted) == [label]


@pytest.mark.parametrize(
    ("labels", "guides"),
    [
        (["A2M_1", "A2M_2"], {"A2M": ["A2M_1", "A2M_2"]}),
        (["A2M", "A2M_2"], {"A2M": ["A2M", "A2M_2"]}),
        (["A2M_1+SET", "SET_1+A2M"], {"A2M+SET": ["A2M_1+SET", "SET_1+A2M"]}),
        (["A2M_1", " A2M_1 ", "A2M_1\u00a0"], {}),
        (["A2M_1", "KLF1_2", "A2M+KLF1"], {}),
        (["A2M+ctrl", "ctrl+A2M", "A2M"], {}),
        (["NT_1", "NT_2"], {}),
    ],
)
def test_guides_are_several_labels_of_one_set(labels: list[str], guides: dict[str, list[str]]) -> None:
    assert read(*labels).guides == guides


def test_guides_of_unknown_genes_are_guides_where_others_are() -> None:
    understood = read("A2M_1", "NOBODY_1", "NOBODY_2", "NOBODY_1+A2M_1", "NKX9-1", "NKX9-2")
    assert understood.names["NOBODY_1+A2M_1"] == "A2M+NOBODY"
    assert understood.guides == {"NOBODY": ["NOBODY_1", "NOBODY_2"]}
    assert {understood.names[label] for label in ("NKX9-1", "NKX9-2")} == {"NKX9-1", "NKX9-2"}


def test_a_gene_that_only_labels_know_is_the_same_in_combinations() -> None:
    understood = read("NOBODY", "NOBODY;KLF1", "KLF1_NOBODY", "KLF1+NOBODY", "nobody")
    assert set(understood.names.values()) == {"NOBODY", "KLF1+NOBODY"}


def test_names_that_end_in_numbers_are_no_guides_where_no_known_gene_has_one() -> None:
    assert read("A2M", "NOBODY_1", "NOBODY_2", "NT_1", "NT_2").guides == {}


def test_guides_apart_are_refused_with_the_cure_that_is_given() -> None:
    with pytest.raises(InputError, match=r"'A2M' has the labels 'A', 'B'\. Do this\."):
        refuse_apart({"A2M": ["A", "B"]}, "Do this.")
    refuse_apart({}, "Do this.")


@pytest.mark.parametrize(
    ("covered", "says"), [({"A", "B", "C"}, []), ({"A", "B"}, []), ({"A"}, ["know only 1 of 4"])]
)
def test_coverage_is_noted_below_half(
    covered: set[str], says: list[str], logged: pytest.LogCaptureFixture
) -> None:
    check_covered({"a": "A", "b": "B", "c+d": "C+D", "NT": CONTROL, "*": LEFT_OUT}, covered)
    assert [any(text in note for note in logged.messages) for text in says] == [True] * len(says)
    assert len(logged.messages) == len(says)


def test_coverage_of_none_is_refused_with_labels_and_what_they_were_read_as() -> None:
    with pytest.raises(InputError, match=r"they know none of 2: 'a 1' as 'A', 'B'\. Name the column"):
        check_covered({"a 1": "A", "B": "B"}, {"C"})


def test_symbols_that_are_dates_are_noted_unless_they_have_an_alias(logged: pytest.LogCaptureFixture) -> None:
    symbols = np.array(["KLF1", "1-Mar", "2-Sep"])
    note_dates(symbols, LabelRule(known_genes={"2-Sep"}))
    assert len(logged.messages) == 1
    assert logged.messages[0].startswith("gene symbols that are dates: 1 ('1-Mar')")
