"""Labels as public screens write them: the same gene sets whatever their form, and none in two splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.exhaustive import few_fast

from adapert.data.choices import PrepareChoices
from adapert.data.labels import rule as rule_of_labels
from adapert.data.labels.rule import LabelRule
from adapert.data.prepare import prepare, summarize_prepared
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SPLITS
from adapert.data.splits import read_split, split_perturbations
from adapert.errors import InputError

PrepareLabels = Callable[..., PreparedDataset]
PrepareLayout = Callable[[str], PreparedDataset]

SYMBOLS = ["A2M", "CEBPA", "ELK1", "IFNGR1", "KLF1", "MAP2K6", "SET", "SPI1", "STAT1", "ZAP70"]
SINGLE, DOUBLE = SYMBOLS[:8], [("KLF1", "MAP2K6"), ("CEBPA", "SET")]
N_CELLS, N_CONTROLS = 10, 24
FRACTIONS = (0.5, 0.2, 0.3)


def gene_id(symbol: str) -> str:
    return f"ENSG{SYMBOLS.index(symbol) + 1:011d}"


@dataclass(frozen=True)
class Layout:
    """How a screen writes single genes, pairs and controls; each form is used in turn."""

    single: Callable[[str], Sequence[str]]
    control: Sequence[str | None]
    double: Callable[[str, str], Sequence[str]] | None = None
    left_out: Sequence[str | None] = ()
    choices: dict[str, Any] = field(default_factory=dict)
    genes: str = "symbols"


LAYOUTS = {
    "scperturb": Layout(lambda g: [g], ["control"], lambda a, b: [f"{a}_{b}"]),
    "gears": Layout(
        lambda g: [f"{g}+ctrl", f"ctrl+{g}"], ["ctrl"], lambda a, b: [f"{a}+{b}", f"{b}+{a}"], left_out=[None]
    ),
    "norman": Layout(
        lambda g: [f"{g}_NegCtrl0__{g}_NegCtrl0", f"NegCtrl0_{g}__NegCtrl0_{g}"],
        ["NegCtrl0_NegCtrl10__NegCtrl0_NegCtrl10", "NegCtrl11_NegCtrl0__NegCtrl11_NegCtrl0"],
        lambda a, b: [f"{a}_{b}__{a}_{b}"],
        left_out=["*"],
    ),
    "adamson": Layout(
        lambda g: [f"{g}_pDS{255 + SYMBOLS.index(g)}"], ["62(mod)_pBA581"], left_out=["*", None]
    ),
    "adamson_pairs": Layout(
        lambda g: [f"{g}_only_pMJ{145 + SYMBOLS.index(g)}"],
        ["3x_neg_ctrl_pMJ144-1", "3x_neg_ctrl_pMJ144-2"],
        lambda a, b: [f"{a}_{b}_pMJ158"],
    ),
    "dixit": Layout(
        lambda g: [f"p_sg{g}_2", f"p_sg{g}_5"],
        ["p_INTERGENIC393453", "p_INTERGENIC1144056"],
        choices={"group_guides": True},
    ),
    "papalexi": Layout(
        lambda g: [f"{g}g1", f"{g}g2"], ["NTg1", "NTg4"], choices={"group_guides": True}, left_out=["Doublet"]
    ),
    "frangieh": Layout(
        lambda g: [f"{g}_1", f"{g}_3"],
        ["NO_SITE_12", "ONE_NON-GENE_SITE_7"],
        choices={"group_guides": True},
        left_out=[None],
    ),
    "tian": Layout(lambda g: [f"sg{g}-1"], ["sgNT-1", "non-targeting_00025"]),
    "datlinger": Layout(
        lambda g: [f"Tcrlib_{g}_1", f"Tcrlib_{g}_2"],
        ["Tcrlib_CTRL00320_1", "Tcrlib_CTRL00585_1"],
        choices={"group_guides": True},
    ),
    "schraivogel": Layout(
        lambda g: [f"{g}_+_95907328.23-P1P2", f"{g}_-_95907017.23-P1P2"],
        ["non-targeting_00025", "non-targeting_01234"],
        choices={"group_guides": True},
    ),
    "two_guides_a_cell": Layout(
        lambda g: [f"{g}_+_95907328.23-P1P2|{g}_-_95907017.23-P1P2"],
        ["non-targeting_00089|non-targeting_03595"],
    ),
    "mcfaline": Layout(lambda g: [g, f"{g},{g}"], ["NTC", "NTC,NTC"], left_out=["unassigned", "multiplet"]),
    "cellranger": Layout(
        lambda g: [f"{g}_1|{g}_2"], ["Non-Targeting-1"], lambda a, b: [f"{a}_1|{b}_2"], left_out=["*"]
    ),
    "ensembl": Layout(lambda g: [gene_id(g)], ["non-targeting"], genes="symbols and numbers"),
    "ensembl_versions": Layout(
        lambda g: [f"{gene_id(g)}.{v}" for v in (4, 12)], ["control"], genes="numbers and symbols"
    ),
    "blanks": Layout(
        lambda g: [g, f"{g} ", f" {g}"], ["control", " control"], lambda a, b: [f"{a} + {b}", f"{b}+ {a}"]
    ),
    "semicolons": Layout(lambda g: [g], ["NT"], lambda a, b: [f"{a};{b}", f"{b}; {a}", f"{b} & {a}"]),
    "lower_case": Layout(lambda g: [g.lower(), g], ["Ctrl"], lambda a, b: [f"{a}+{b.lower()}"]),
    "patterns": Layout(
        lambda g: [f"{g}+safe_1"],
        ["safe_1", "safe_2+safe_3", "luc"],
        choices={"control": ("safe_*", "luc")},
        left_out=["NT", "nan"],
    ),
    "missing_controls": Layout(lambda g: [g], [None, "nan"], choices={"missing_is_control": True}),
    "missing_left_out": Layout(lambda g: [g], ["control"], left_out=[None, "+", "None", "nan", ""]),
}

NEEDS_GROUPING = [name for name, layout in LAYOUTS.items() if layout.choices.get("group_guides")]


def genes_table(form: str) -> pd.DataFrame:
    numbers = [gene_id(symbol) for symbol in SYMBOLS]
    if form == "symbols and numbers":
        return pd.DataFrame({"gene_ids": numbers}, index=SYMBOLS)
    if form == "numbers and symbols":
        return pd.DataFrame({"gene_name": SYMBOLS}, index=[f"{number}.7" for number in numbers])
    return pd.DataFrame(index=SYMBOLS)


def label_cells(layout: Layout) -> tuple[list[str | None], list[str]]:
    """Give each cell its label, and what it truly is: a gene set, a control, or left out."""
    labels: list[str | None] = []
    truth: list[str] = []

    def add(forms: Sequence[str | None], n_cells: int, meant: str) -> None:
        labels.extend(forms[number % len(forms)] for number in range(n_cells))
        truth.extend([meant] * n_cells)

    for symbol in SINGLE:
        add(layout.single(symbol), N_CELLS, symbol)
    if layout.double:
        for pair in DOUBLE:
            add(layout.double(*pair), N_CELLS, "+".join(pair))
    add(layout.control, N_CONTROLS, "control")
    add(layout.left_out, 2 * len(layout.left_out), "left out")
    return labels, truth


def prepare_in(folder: Path) -> PrepareLabels:
    rows = [f"{a}\t{b}\t{900 - i}\n" for i, (a, b) in enumerate(pairwise(SYMBOLS))]
    (folder / "network.tsv").write_text("".join(rows))
    np.savez(folder / "text.npz", symbols=np.array(SYMBOLS), embedding=np.eye(10))

    def run(
        labels: Sequence[str | None],
        genes: str = "symbols",
        column: str | None = "perturbation",
        aliases: Path | None = None,
        **choices: Any,
    ) -> PreparedDataset:
        counts = np.random.default_rng(0).poisson(3, (len(labels), 10)).astype(np.float32)
        cells = anndata.AnnData(counts, var=genes_table(genes))
        if column is None:
            cells.obs_names = labels
        else:
            cells.obs[column] = pd.Categorical(list(labels))
        cells.write_h5ad(folder / "cells.h5ad")
        return prepare(
            folder / "cells.h5ad",
            folder / "network.tsv",
            folder / "text.npz",
            PrepareChoices(**{"split_fractions": FRACTIONS, "min_cells": 1, **choices}),
            aliases=aliases,
        )

    return run


@pytest.fixture
def prepare_labels(tmp_path: Path) -> PrepareLabels:
    """Prepare cells under some labels, with a network and text of symbols."""
    return prepare_in(tmp_path)


@pytest.fixture(scope="module")
def prepare_layout(tmp_path_factory: pytest.TempPathFactory) -> PrepareLayout:
    """Prepare the cells of a layout, each once for all tests, which only read it."""

    @cache
    def run(name: str) -> PreparedDataset:
        layout = LAYOUTS[name]
        labels, _ = label_cells(layout)
        return prepare_in(tmp_path_factory.mktemp("layout"))(labels, layout.genes, **layout.choices)

    return run


def perturbations_of(dataset: PreparedDataset) -> list[str]:
    return sorted(name for split in dataset.splits.values() for name in split.table.perturbations.tolist())


@pytest.mark.parametrize("name", few_fast(LAYOUTS, 6))
def test_layout_is_understood_cell_by_cell(prepare_layout: PrepareLayout, name: str) -> None:
    _, truth = label_cells(LAYOUTS[name])
    dataset = prepare_layout(name)
    expected = {meant: truth.count(meant) for meant in set(truth) - {"control", "left out"}}
    n_cells = {
        perturbation: int(number)
        for split in dataset.splits.values()
        for perturbation, number in zip(split.table.perturbations.tolist(), split.table.n_cells, strict=True)
    }
    assert n_cells == expected
    assert len(dataset.control_cells) == truth.count("control")
    recorded = dataset.manifest.labels
    assert recorded["controls"] == truth.count("control")
    assert sum(recorded["left_out"].values()) == truth.count("left out")
    assert dataset.manifest.coverage["perturbations_in_text"] == len(expected)


@pytest.mark.parametrize("name", few_fast(LAYOUTS, 6))
def test_no_gene_set_is_in_two_splits_whatever_the_seed(prepare_layout: PrepareLayout, name: str) -> None:
    _, truth = label_cells(LAYOUTS[name])
    names = perturbations_of(prepare_layout(name))
    for seed in range(20):
        split = split_perturbations(names, seed, FRACTIONS)
        where: dict[tuple[str, ...], set[str]] = {}
        for part in SPLITS:
            for perturbation in split[part]:
                where.setdefault(tuple(sorted(perturbation.upper().split("+"))), set()).add(part)
        assert {"+".join(genes) for genes in where} == set(truth) - {"control", "left out"}
        assert all(len(parts) == 1 for parts in where.values())


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_of_the_data_are_a_split_list_too(
    prepare_layout: PrepareLayout, tmp_path: Path, name: str
) -> None:
    layout = LAYOUTS[name]
    labels, truth = label_cells(layout)
    dataset = prepare_layout(name)
    part_of = {name: part for part, s in dataset.splits.items() for name in s.table.perturbations.tolist()}
    pairs = {label: part_of.get(meant, "train") for label, meant in zip(labels, truth, strict=True) if label}
    path = tmp_path / "split.tsv"
    path.write_text("".join(f"{label}\t{part}\n" for label, part in pairs.items()))
    ids = {gene_id(symbol): symbol for symbol in SYMBOLS}
    rule = LabelRule(known_genes=SYMBOLS, gene_ids=ids, controls=tuple(layout.choices.get("control", ())))
    split = read_split(path, perturbations_of(dataset), rule)
    assert split == {part: dataset.splits[part].table.perturbations.tolist() for part in SPLITS}


@pytest.mark.parametrize("name", NEEDS_GROUPING)
def test_guides_that_would_be_apart_are_refused(prepare_labels: PrepareLabels, name: str) -> None:
    labels, _ = label_cells(LAYOUTS[name])
    with pytest.raises(InputError, match=r"'A2M' has the labels .*, and 7 more .*\. Group .* --group-guides"):
        prepare_labels(labels)


def test_a_guide_beside_its_gene_is_refused(prepare_labels: PrepareLabels) -> None:
    labels, _ = label_cells(LAYOUTS["scperturb"])
    with pytest.raises(InputError, match=r"'KLF1' has the labels 'KLF1', 'KLF1_2'\."):
        prepare_labels([*labels, "KLF1_2"])


def test_grouped_guides_are_counted_and_named(
    prepare_labels: PrepareLabels, logged: pytest.LogCaptureFixture
) -> None:
    labels, _ = label_cells(LAYOUTS["papalexi"])
    dataset = prepare_labels(labels, group_guides=True)
    assert "guides grouped: 16 into 8 perturbations ('A2Mg1', 'A2Mg2' into 'A2M')" in logged.messages
    assert dict(summarize_prepared(dataset))["guides grouped"] == "16"


def test_what_was_understood_is_told_and_recorded(
    prepare_labels: PrepareLabels, logged: pytest.LogCaptureFixture
) -> None:
    labels, _ = label_cells(LAYOUTS["adamson"])
    dataset = prepare_labels(labels)
    assert "controls: 24 cells ('62(mod)_pBA581')" in logged.messages
    assert "left out: 2 cells without a label" in logged.messages
    assert "left out: 2 cells not assigned to a perturbation ('*')" in logged.messages
    assert (
        "labels read as genes: 8 ('A2M_pDS255' as 'A2M', 'CEBPA_pDS256' as 'CEBPA', 'ELK1_pDS257' as 'ELK1' "
        "and 5 more)" in logged.messages
    )
    recorded = dataset.manifest.labels
    assert (recorded["perturbations"], recorded["combinations"], recorded["controls"]) == (8, 0, 24)
    assert recorded["left_out"] == {"without a label": 2, "not assigned to a perturbation": 2}
    assert recorded["examples"]["SPI1_pDS255".replace("255", "262")] == "SPI1"
    assert dict(summarize_prepared(dataset))["left out"] == (
        "2 not assigned to a perturbation, 2 without a label"
    )


def test_labels_in_another_case_are_named(
    prepare_labels: PrepareLabels, logged: pytest.LogCaptureFixture
) -> None:
    labels, _ = label_cells(LAYOUTS["scperturb"])
    prepare_labels([*labels, *["zap70"] * 10])
    assert "labels known in another case only: 1 ('zap70' as 'ZAP70')" in logged.messages


# Data in which nothing tells perturbations apart


UNKNOWN: dict[str, Callable[[str], str]] = {
    "screen_numbers": lambda g: f"hit {SYMBOLS.index(g)}",
    "clusters": lambda g: f"cluster{SYMBOLS.index(g)}",
    "ensembl": gene_id,
    "guide_sequences": lambda g: "ACGTACGTACGTACGTACGT"[SYMBOLS.index(g) :],
    "drugs": lambda g: f"drug-{SYMBOLS.index(g)}x",
    "entrez": lambda g: str(1000 + SYMBOLS.index(g)),
    "proteins": lambda g: f"9606.ENSP{SYMBOLS.index(g):011d}",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_data_without_a_known_perturbed_gene_are_refused(prepare_labels: PrepareLabels, name: str) -> None:
    labels = [UNKNOWN[name](symbol) for symbol in SINGLE for _ in range(N_CELLS)]
    shown = min(UNKNOWN[name](symbol) for symbol in SINGLE)
    with pytest.raises(InputError, match="they know none of 8: ") as refused:
        prepare_labels([*labels, *["control"] * N_CONTROLS])
    assert f"'{shown}'" in str(refused.value)
    assert "--perturbation-column" in str(refused.value)
    assert "--aliases" in str(refused.value)


@pytest.mark.parametrize("name", ["ensembl", "entrez", "proteins"])
def test_the_alias_table_that_the_refusal_names_helps(
    prepare_labels: PrepareLabels, tmp_path: Path, name: str
) -> None:
    labels = [UNKNOWN[name](symbol) for symbol in SINGLE for _ in range(N_CELLS)]
    table = tmp_path / "aliases.tsv"
    table.write_text("".join(f"{UNKNOWN[name](symbol)}\t{symbol}\n" for symbol in SINGLE))
    dataset = prepare_labels([*labels, *["control"] * N_CONTROLS], aliases=table)
    assert dataset.manifest.coverage["perturbations_in_text"] == 8


def test_under_half_of_the_genes_known_is_noted_with_examples(
    prepare_labels: PrepareLabels, logged: pytest.LogCaptureFixture
) -> None:
    labels = [*["KLF1"] * 10, *["SET"] * 10, *[f"drug{n}x" for n in range(3) for _ in range(10)]]
    prepare_labels([*labels, *["control"] * N_CONTROLS], split_fractions=(0.4, 0.2, 0.4))
    assert any(
        note.startswith(
            "network and text know only 2 of 5 perturbed genes, and nothing tells the others apart: 'drug0x'"
        )
        for note in logged.messages
    )


def test_half_of_the_genes_known_is_not_noted(
    prepare_labels: PrepareLabels, logged: pytest.LogCaptureFixture
) -> None:
    labels = [*["KLF1"] * 10, *["SET"] * 10, *[f"drug{n}x" for n in range(2) for _ in range(10)]]
    prepare_labels([*labels, *["control"] * N_CONTROLS])
    assert not any("network and text know only" in note for note in logged.messages)


# Rows of responses


BULK = [f"{n}_{g}_P1P2_{gene_id(g)}" for n, g in enumerate(SINGLE)]


def test_bulk_rows_are_read_and_their_controls_left_out(
    prepare_labels: PrepareLabels, logged: pytest.LogCaptureFixture
) -> None:
    controls = [f"{n}_non-targeting_non-targeting_non-targeting" for n in (10751, 10752)]
    dataset = prepare_labels([*BULK, *controls], column=None, kind="responses")
    assert perturbations_of(dataset) == SINGLE
    assert "rows of controls are left out: responses are already differences" in logged.messages
    assert dataset.manifest.labels["controls"] == 2


def test_bulk_rows_under_a_changed_symbol_are_found_by_their_number(prepare_labels: PrepareLabels) -> None:
    rows = [*BULK[:-1], f"7_PU.1_P1P2_{gene_id('SPI1')}"]
    dataset = prepare_labels(rows, "symbols and numbers", column=None, kind="responses")
    assert perturbations_of(dataset) == SINGLE


def test_bulk_rows_of_two_promoters_of_a_gene_are_refused(prepare_labels: PrepareLabels) -> None:
    rows = [*BULK, f"99_KLF1_P1_{gene_id('KLF1')}"]
    with pytest.raises(InputError, match=r"'KLF1' has the labels '4_KLF1_.*', '99_KLF1_.*Average their rows"):
        prepare_labels(rows, column=None, kind="responses")


@pytest.mark.parametrize("choice", ["group_guides", "missing_is_control"])
def test_choices_about_cells_are_refused_for_responses(choice: str) -> None:
    option = choice.replace("_", "-")
    choices: dict[str, Any] = {"kind": "responses", choice: True}
    with pytest.raises(InputError, match=f"--{option} must be left out with --kind responses"):
        PrepareChoices(**choices)


# Controls


@pytest.mark.parametrize(("n_controls", "is_noted"), [(2, True), (19, True), (20, False)])
def test_few_controls_are_noted(
    prepare_labels: PrepareLabels, n_controls: int, is_noted: bool, logged: pytest.LogCaptureFixture
) -> None:
    labels = [symbol for symbol in SINGLE for _ in range(N_CELLS)]
    prepare_labels([*labels, *["control"] * n_controls])
    assert any(note.startswith(f"only {n_controls} control cells") for note in logged.messages) == is_noted


def test_one_control_is_refused(prepare_labels: PrepareLabels) -> None:
    labels = [symbol for symbol in SINGLE for _ in range(N_CELLS)]
    with pytest.raises(InputError, match="there is only one control cell: no other label in 'perturbation'"):
        prepare_labels([*labels, "control"])


def test_missing_labels_are_no_controls_and_the_option_is_named(prepare_labels: PrepareLabels) -> None:
    labels = [symbol for symbol in SINGLE for _ in range(N_CELLS)]
    with pytest.raises(InputError, match=r"there are no control cells: .*--missing-is-control"):
        prepare_labels([*labels, *[None] * N_CONTROLS])


def test_every_named_control_must_be_there(prepare_labels: PrepareLabels) -> None:
    labels, _ = label_cells(LAYOUTS["scperturb"])
    with pytest.raises(InputError, match=r"'safe\*' is not"):
        prepare_labels(labels, control=("control", "safe*"))


def test_every_named_control_of_responses_must_be_there(prepare_labels: PrepareLabels) -> None:
    with pytest.raises(InputError, match="must be a label in the index, but 'safe' is not"):
        prepare_labels(BULK, column=None, kind="responses", control="safe")


def test_order_and_blanks_of_named_controls_make_no_difference() -> None:
    assert PrepareChoices(control=("b", " a ")) == PrepareChoices(control=("a", "b"))
    assert PrepareChoices(control=("a",)) == PrepareChoices(control="a")
    assert PrepareChoices(control=()) == PrepareChoices()


# Symbols


def test_spellings_that_the_alias_table_pairs_are_one_perturbation(
    prepare_labels: PrepareLabels, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "aliases.tsv"
    table.write_text("EKLF\tKLF1\n")
    labels, _ = label_cells(LAYOUTS["scperturb"])
    dataset = prepare_labels([*labels, *["EKLF"] * 5, *["SET+EKLF"] * 5], aliases=table)
    names = perturbations_of(dataset)
    assert (
        "labels of one gene in another spelling: 2 ('EKLF' as 'KLF1', 'SET+EKLF' as 'KLF1+SET')"
        in logged.messages
    )
    assert "KLF1+SET" in names
    assert not any("EKLF" in name for name in names)


def test_a_symbol_paired_with_two_perturbed_genes_is_refused(
    prepare_labels: PrepareLabels, tmp_path: Path
) -> None:
    table = tmp_path / "aliases.tsv"
    table.write_text("OLD\tKLF1\nOLD\tSET\n")
    labels, _ = label_cells(LAYOUTS["scperturb"])
    with pytest.raises(InputError, match="'KLF1', 'OLD', 'SET' it pairs some and not others"):
        prepare_labels([*labels, "OLD"], aliases=table)


def test_dates_are_named_and_an_alias_cures_them(
    prepare_labels: PrepareLabels, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    labels, _ = label_cells(LAYOUTS["scperturb"])
    labels += ["1-Mar"] * 10
    prepare_labels(labels)
    before = logged.messages
    logged.clear()
    table = tmp_path / "aliases.tsv"
    table.write_text("1-Mar\tZAP70\n")
    dataset = prepare_labels(labels, aliases=table)
    assert any(note.startswith("labels that are dates: 1 ('1-Mar'); a spreadsheet has") for note in before)
    assert not any("dates" in note for note in logged.messages)
    assert dataset.manifest.coverage["perturbations_in_text"] == 11


def test_another_reading_of_the_same_file_has_another_fingerprint(
    prepare_labels: PrepareLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, _ = label_cells(LAYOUTS["scperturb"])
    dataset = prepare_labels(labels)
    assert dataset.fingerprint == prepare_labels(labels).fingerprint
    monkeypatch.setattr(rule_of_labels, "SEPARATORS", ("+",))
    other = prepare_labels(labels)
    assert perturbations_of(other) != perturbations_of(dataset)
    assert other.fingerprint != dataset.fingerprint
