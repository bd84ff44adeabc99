"""Splits by perturbation, never by cell: drawn from a seed, or read from a saved list."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from adapert.data.choices import DEFAULT_FRACTIONS, PrepareChoices, check_fractions
from adapert.data.formats.tables import read_table, require_file
from adapert.data.labels.rule import LabelRule
from adapert.data.labels.spellings import Spellings
from adapert.data.schema import SPLITS, IntArray, SplitName, SplitScheme, genes_of, is_combination
from adapert.errors import InputError, name_some, nearest
from adapert.files import parse_json
from adapert.seeding import numpy_generator

Fractions: TypeAlias = tuple[float, float, float]
"""Shares of train, validation and test."""

Split: TypeAlias = dict[SplitName, list[str]]
"""The sorted perturbations of each split."""

_COLUMNS_CURE = (
    f"Save it as CSV or TSV with the columns perturbation and split, which is one of {', '.join(SPLITS)}."
)


def split_perturbations(
    perturbations: Iterable[str], split_seed: int, fractions: Fractions = DEFAULT_FRACTIONS["perturbations"]
) -> Split:
    """Draw a split over perturbations; their order makes no difference.

    Of the shares of train, validation and test, train's is rounded down, test's to the nearest number, and
    validation gets the rest.

    Raises:
        InputError: Fractions that do not sum to 1, or a split without a perturbation.
    """
    check_fractions(fractions)
    split = _draw(sorted(perturbations), numpy_generator(split_seed, "split"), fractions)
    _refuse_empty(split, "Use more perturbations, or other --split-fractions.")
    return split


def split_combinations(
    perturbations: Iterable[str], split_seed: int, fractions: Fractions = DEFAULT_FRACTIONS["combinations"]
) -> Split:
    """Draw a split over combinations; single genes train. The order of perturbations makes no difference.

    Validation and test so hold combinations alone: how well is it predicted what genes do together that are
    known alone? Shares are of the combinations and rounded as in `split_perturbations`; few of them may leave
    none to train.

    Raises:
        InputError: Fractions that do not sum to 1, no combination, or too few for a split to hold any.
    """
    check_fractions(fractions)
    names = sorted(perturbations)
    combinations = [name for name in names if is_combination(name)]
    if not combinations:
        raise InputError(
            "Validation and test of --split-scheme combinations are combinations of genes, but none of "
            f"{len(names)} perturbations is one. Use --split-scheme perturbations."
        )
    split = _draw(combinations, numpy_generator(split_seed, "split of combinations"), fractions)
    split["train"] = sorted({*names} - {*split["validation"], *split["test"]})
    _refuse_empty(
        split, "Use data with more combinations, other --split-fractions, or another --split-scheme."
    )
    return split


SPLIT_SCHEMES: dict[SplitScheme, Callable[[Iterable[str], int, Fractions], Split]] = {
    "perturbations": split_perturbations,
    "combinations": split_combinations,
}
"""Scheme to what draws a split from perturbations, seed and fractions."""


def count_unseen_genes(perturbations: Sequence[str], seen: Iterable[str]) -> IntArray:
    """Count the genes of each perturbation that no seen perturbation targets, (n_perturbations,).

    `seen` has the training perturbations, for genes perturbed neither alone nor in a combination; only those
    of single genes, for genes never perturbed alone.
    """
    known = {gene for name in seen for gene in genes_of(name)}
    counts = [sum(gene not in known for gene in genes_of(name)) for name in perturbations]
    return np.array(counts, dtype=np.int64)


def choose_split(
    perturbations: Collection[str],
    rule: LabelRule,
    split_file: Path | None,
    choices: PrepareChoices,
    dropped: Collection[str],
) -> Split:
    """Read the saved split where there is one, else draw one as `SPLIT_SCHEMES` say.

    Raises:
        InputError: A saved split beside a scheme to draw one by, and as `read_split` and those of
            `SPLIT_SCHEMES`.
    """
    if split_file is None:
        draw = SPLIT_SCHEMES[choices.split_scheme]
        return draw(perturbations, choices.split_seed, choices.drawn_fractions)
    if choices.split_scheme != "perturbations":
        raise InputError(
            f"A split is drawn or read, but --split-scheme is {choices.split_scheme} and --split-file names "
            f"'{split_file}'. Leave one of them out."
        )
    return read_split(split_file, perturbations, rule, dropped)


def read_split(
    path: Path, perturbations: Collection[str], rule: LabelRule, dropped: Collection[str] = ()
) -> Split:
    """Read a saved split: a table of perturbation and split, or JSON in either direction.

    Args:
        path: ``.csv``, ``.tsv``, or ``.json`` as ``{split: [perturbation, ...]}`` or
            ``{perturbation: split}``.
        perturbations: Canonical names that the data hold.
        rule: By which the data's labels were read.
        dropped: Perturbations of the data that were left out; the list may name them.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not a split list, a perturbation in two splits, one that the data do not hold,
            one that the list does not name, or a split without a perturbation.
    """
    genes = {gene for name in (*perturbations, *dropped) for gene in genes_of(name)}
    rule = rule.with_genes({*rule.measured, *genes}, rule.gene_ids)
    spellings = Spellings(genes, rule.aliases)
    assigned: dict[str, SplitName] = {}
    first_label: dict[str, str] = {}
    for label, part in _read_pairs(path):
        if part not in SPLITS:
            raise InputError(
                f"A split must be one of {', '.join(SPLITS)}, but '{path}' names '{part}'."
                f"{nearest(part, SPLITS)}"
            )
        name = spellings.name_of(rule.read(label).genes)
        if not name or name in dropped:
            continue
        if assigned.setdefault(name, part) != part:
            raise InputError(
                f"A perturbation must be in one split, but '{name}' is in two in '{path}': as "
                f"'{first_label[name]}' in {assigned[name]}, as '{label}' in {part}. Remove one line."
            )
        first_label.setdefault(name, label)
    _refuse_mismatch(path, assigned, perturbations)
    split: Split = {
        part: sorted(name for name, where in assigned.items() if where == part) for part in SPLITS
    }
    _refuse_empty(split, f"Move some there in '{path}'.")
    return split


def _draw(names: Sequence[str], generator: np.random.Generator, fractions: Fractions) -> Split:
    # The small addend keeps floor(0.29 * 100) from being 28.
    n_train = math.floor(fractions[0] * len(names) + 1e-9)
    n_test = round(fractions[2] * len(names))
    shuffled = generator.permutation(names).tolist()
    return {
        "train": sorted(shuffled[:n_train]),
        "validation": sorted(shuffled[n_train : len(names) - n_test]),
        "test": sorted(shuffled[len(names) - n_test :]),
    }


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    if path.suffix == ".json":
        return _read_json_pairs(path)
    table = read_table(path, "The split list", header="none")
    if table.shape[1] < 2:
        raise InputError(
            f"The split list must have a perturbation and a split in each line, but '{path}' has one column. "
            f"{_COLUMNS_CURE}"
        )
    pairs = list(zip(table.iloc[:, 0].astype(str), table.iloc[:, 1].astype(str).str.strip(), strict=True))
    if len(pairs) > 1 and not any(part in SPLITS for _, part in pairs):
        raise InputError(
            f"The split list must have the columns perturbation and split, but the second column of '{path}' "
            f"names no split, and its first line is {name_some(table.iloc[0].astype(str))}. "
            f"{_COLUMNS_CURE}"
        )
    return pairs if pairs[0][1] in SPLITS else pairs[1:]


def _read_json_pairs(path: Path) -> list[tuple[str, str]]:
    require_file(path, "The split list")
    try:
        content: Any = parse_json(path.read_bytes())
    except ValueError as error:
        raise InputError(f"The split list must be JSON, but '{path}' is not: {error}") from error
    if not isinstance(content, Mapping):
        raise InputError(
            f"The split list must map splits to perturbations or the reverse, but '{path}' does not."
        )
    return [
        (str(name), str(key)) if isinstance(value, list) else (str(key), str(name))
        for key, value in content.items()
        for name in (value if isinstance(value, list) else [value])
    ]


def _refuse_mismatch(path: Path, assigned: Collection[str], perturbations: Collection[str]) -> None:
    unknown = sorted(set(assigned) - set(perturbations))
    if unknown:
        raise InputError(
            f"The split list must name perturbations of the data, but {len(unknown)} of {len(assigned)} in "
            f"'{path}' are not there: {name_some(unknown)}. Remove them from the list."
        )
    missing = sorted(set(perturbations) - set(assigned))
    if missing:
        raise InputError(
            f"The split list must name every perturbation, but {len(missing)} of {len(perturbations)} are "
            f"not in '{path}': {name_some(missing)}. Add them to the list."
        )


def _refuse_empty(split: Split, cure: str) -> None:
    empty = [name for name in SPLITS if not split[name]]
    if empty:
        sizes = ", ".join(f"{name} {len(split[name])}" for name in SPLITS)
        raise InputError(
            f"Every split must hold a perturbation, but {name_some(empty)} is empty ({sizes}). {cure}"
        )
