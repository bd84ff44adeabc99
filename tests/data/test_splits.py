import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.labels.rule import LabelRule
from adapert.data.splits import (
    choose_split,
    count_unseen_genes,
    read_split,
    split_combinations,
    split_perturbations,
)
from adapert.errors import InputError

NAMES = [f"GENE{number}" for number in range(40)]


def sizes(n: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    split = split_perturbations([str(number) for number in range(n)], 0, fractions)
    return len(split["train"]), len(split["validation"]), len(split["test"])


def test_default_fractions_give_the_papers_k562_sizes() -> None:
    assert sizes(1087, (0.675, 0.075, 0.25)) == (733, 82, 272)


def test_train_is_not_short_by_rounding() -> None:
    assert sizes(100, (0.29, 0.31, 0.4)) == (29, 31, 40)


@pytest.mark.parametrize("seed", range(5))
def test_split_shares_no_perturbation_and_loses_none(seed: int) -> None:
    split = split_perturbations(NAMES, seed)
    assert sorted(name for part in split.values() for name in part) == sorted(NAMES)


def test_order_of_names_makes_no_difference() -> None:
    assert split_perturbations(NAMES, 3) == split_perturbations(NAMES[::-1], 3)


def test_seed_makes_a_difference() -> None:
    assert split_perturbations(NAMES, 3) != split_perturbations(NAMES, 4)


def test_empty_split_is_refused() -> None:
    with pytest.raises(InputError, match=r"'validation' is empty \(train 2, validation 0, test 1\)"):
        split_perturbations(NAMES[:3], 0, (0.7, 0.05, 0.25))


@pytest.mark.parametrize(
    "fractions", [(0.5, 0.2, 0.2), (1.0, 0.0, 0.0), (1.2, -0.4, 0.2), (float("nan"), 0.5, 0.5)]
)
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="three positive numbers that sum to 1"):
        split_perturbations(NAMES, 0, fractions)


PAIRS = [f"GENE{first}+GENE{first + 1}" for first in range(24)]


@pytest.mark.parametrize("seed", range(3))
def test_single_genes_train_and_combinations_alone_are_validated_and_tested(seed: int) -> None:
    split = split_combinations(NAMES + PAIRS, seed)
    assert set(NAMES) <= set(split["train"])
    assert [len(set(split[part]) & set(PAIRS)) for part in ("train", "validation", "test")] == [6, 6, 12]
    assert sorted(name for part in split.values() for name in part) == sorted(NAMES + PAIRS)
    assert split == split_combinations([*PAIRS[::-1], *NAMES[::-1]], seed)
    assert split["test"] != split_combinations(NAMES + PAIRS, seed + 1)["test"]


def test_single_genes_move_no_combination() -> None:
    few = split_combinations([*NAMES[:3], *PAIRS], 0, (0.4, 0.2, 0.4))
    assert few["test"] == split_combinations(NAMES + PAIRS, 0, (0.4, 0.2, 0.4))["test"]


@pytest.mark.parametrize(
    ("combinations", "message"),
    [
        ([], r"but none of 40 perturbations is one\. Use --split-scheme perturbations\."),
        (PAIRS[:1], r"'test' is empty \(train 40, validation 1, test 0\)\. Use data with more combinations"),
    ],
)
def test_too_few_combinations_are_refused(combinations: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_combinations(NAMES + combinations, 0)


def test_a_saved_split_beside_a_scheme_to_draw_by_is_refused(tmp_path: Path) -> None:
    choices = PrepareChoices(split_scheme="combinations")
    with pytest.raises(InputError, match=r"is drawn or read, .* names '.*s\.csv'\. Leave one of them out\."):
        choose_split(NAMES, LabelRule(), tmp_path / "s.csv", choices, [])


def test_unseen_genes_are_those_that_no_training_perturbation_targets() -> None:
    seen = ["A", "B+C"]
    assert count_unseen_genes(["A+B", "A+D", "D+E", "C", "D", "B+D+E"], seen).tolist() == [0, 1, 2, 0, 1, 2]
    assert count_unseen_genes([], seen).tolist() == []


SAVED = {"A": "train", "B+C": "train", "D": "validation", "E": "test"}


def write_saved(path: Path, saved: dict[str, str]) -> Path:
    if path.name == "by_split.json":
        by_split = {part: [n for n, p in saved.items() if p == part] for part in set(saved.values())}
        path.write_text(json.dumps(by_split))
    elif path.suffix == ".json":
        path.write_text(json.dumps(saved))
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        header = f"perturbation{mark}split\n" if path.stem == "headed" else ""
        path.write_text(header + "".join(f"{name}{mark}{part}\n" for name, part in saved.items()))
    return path


@pytest.mark.parametrize("name", ["headed.csv", "plain.csv", "headed.tsv", "by_split.json", "by_name.json"])
def test_saved_split_is_read_in_every_form(tmp_path: Path, name: str) -> None:
    path = write_saved(tmp_path / name, SAVED)
    expected = {"train": ["A", "B+C"], "validation": ["D"], "test": ["E"]}
    assert read_split(path, list(SAVED), LabelRule()) == expected


def test_saved_labels_are_read_like_the_datas(tmp_path: Path) -> None:
    path = write_saved(
        tmp_path / "s.csv", {"A+ctrl": "train", "C_B": "train", "D": "validation", "E": "test"}
    )
    assert read_split(path, list(SAVED), LabelRule())["train"] == ["A", "B+C"]


def test_control_and_dropped_perturbations_may_be_listed(tmp_path: Path) -> None:
    path = write_saved(tmp_path / "s.csv", {**SAVED, "ctrl": "train", "F": "test"})
    assert read_split(path, list(SAVED), LabelRule(), dropped=["F"])["test"] == ["E"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": "test"}, "1 of 5 in .* are not there: 'X'"),
        ({"D": "trian"}, r"names 'trian'\. Did you mean 'train'\?"),
        ({"C+B": "test"}, r"'B\+C' is in two in '.*': as 'B\+C' in train, as 'C\+B' in test"),
        ({" D ": "test"}, "'D' is in two"),
        ({"ctrl+D": "test"}, "'D' is in two"),
        ({"D_1": "train"}, "'D' is in two"),
        ({"d": "test"}, "'D' is in two"),
        ({"OLD_E": "train"}, "'E' is in two"),
        ({"E": "train"}, "'test' is empty"),
    ],
)
def test_bad_saved_split_is_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    path = write_saved(tmp_path / "s.csv", SAVED | changes)
    with pytest.raises(InputError, match=message):
        read_split(path, list(SAVED), LabelRule(aliases={"OLD_E": ("E",), "E": ("OLD_E",)}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gene,partner,score\nA,B,1\nC,D,2\n",
            "columns perturbation and split, .* first line is 'gene', 'partner'",
        ),
        (",perturbation,split\n0,A,train\n1,B,test\n", "columns perturbation and split, but"),
        ("A\nB\n", "has one column"),
    ],
)
def test_a_list_without_its_columns_is_refused_with_a_cure(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=f"{message}.*Save it as CSV or TSV"):
        read_split(tmp_path / "s.csv", list(SAVED), LabelRule())


def test_saved_split_may_spell_a_set_in_two_ways_in_one_split(tmp_path: Path) -> None:
    path = write_saved(tmp_path / "s.csv", {**SAVED, "e": "test", "E_2": "test", "C;B": "train"})
    assert read_split(path, list(SAVED), LabelRule())["test"] == ["E"]


def test_saved_split_finds_the_datas_spelling_by_alias(tmp_path: Path) -> None:
    path = write_saved(tmp_path / "s.csv", {"A": "train", "B+C": "train", "D": "validation", "OLD_E": "test"})
    rule = LabelRule(aliases={"OLD_E": ("E",), "E": ("OLD_E",)})
    assert read_split(path, list(SAVED), rule)["test"] == ["E"]


def test_words_for_controls_and_unassigned_cells_may_be_listed(tmp_path: Path) -> None:
    path = write_saved(tmp_path / "s.csv", {**SAVED, "NT": "train", "*": "test", "unassigned": "test"})
    assert read_split(path, list(SAVED), LabelRule(controls=("safe",)))["train"] == ["A", "B+C"]


def test_saved_split_without_a_perturbation_of_the_data_is_refused(tmp_path: Path) -> None:
    path = write_saved(tmp_path / "s.csv", SAVED)
    with pytest.raises(InputError, match=r"1 of 5 are not in .*: 'Z'"):
        read_split(path, [*SAVED, "Z"], LabelRule())


@pytest.mark.parametrize(("content", "message"), [("{", "must be JSON"), ("[1]", "must map splits")])
def test_bad_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_split(path, list(SAVED), LabelRule())


def test_split_is_the_same_for_arrays_and_lists() -> None:
    assert split_perturbations(np.array(NAMES), 1) == split_perturbations(NAMES, 1)


def test_a_list_without_a_split_advises_no_option_of_a_drawn_one(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["A", "B"], "test": ["C"]}))
    with pytest.raises(InputError, match=r"'validation' is empty .*Move some there in '.*split\.json'"):
        read_split(tmp_path / "split.json", ["A", "B", "C"], LabelRule(known_genes=["A", "B", "C"]))


def test_a_list_is_read_from_parquet(tmp_path: Path) -> None:
    pairs = {"perturbation": ["A", "B", "C"], "split": ["train", "validation", "test"]}
    pd.DataFrame(pairs).to_parquet(tmp_path / "split.parquet")
    split = read_split(tmp_path / "split.parquet", ["A", "B", "C"], LabelRule(known_genes=["A", "B", "C"]))
    assert split == {"train": ["A"], "validation": ["B"], "test": ["C"]}
