"""What figures and tables say of a prepared data set besides its numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SPLITS, SplitName

GROUP_RULES = {
    "fractions": "Groups: small below 5 %, large above 10 % of the genes differentially expressed.",
    "tertiles": "Groups: tertiles of the training perturbations' number of DEGs.",
}
"""How perturbations were grouped by effect size (the choice ``effect_size_groups``), for captions."""


def name_dataset(dataset: PreparedDataset) -> str:
    """Name a data set by the file it was prepared from and its fingerprint."""
    cells = dataset.manifest.inputs.get("cells")
    return f"{Path(cells.file).stem} ({dataset.fingerprint})" if cells else dataset.fingerprint


def describe_perturbations(dataset: PreparedDataset) -> pd.DataFrame:
    """List the perturbations of the splits that a data set was read with.

    Returns:
        split, perturbation, effect_size, n_cells, n_degs and n_genes (measured), splits below each other.
    """
    parts = []
    for split, table in ((name, dataset.splits[name].table) for name in SPLITS if name in dataset.splits):
        columns = ("effect_size", "n_cells", "n_degs")
        known = {"split": split, "perturbation": table.perturbations}
        known |= {column: getattr(table, column) for column in columns}
        parts.append(pd.DataFrame(known | {"n_genes": dataset.n_genes}))
    return pd.concat(parts, ignore_index=True)


def count_perturbations(dataset: PreparedDataset) -> pd.DataFrame:
    """Count perturbations and cells of every split by effect size, and open no split's expression.

    Of a split that the data set was read without, the two files with the numbers of cells and the names
    of the groups are read; `adapert prepare` prints these counts.

    Returns:
        split, effect_size, n_perturbations and n_cells; groups without a perturbation have no row.
    """
    parts = [
        pd.DataFrame({"split": split, "effect_size": effect_size, "n_perturbations": 1, "n_cells": n_cells})
        for split, (effect_size, n_cells) in _read_splits(dataset, "effect_size", "n_cells")
    ]
    frame = pd.concat(parts, ignore_index=True)
    return frame.groupby(["split", "effect_size"], as_index=False, sort=False).sum()


def count_families(dataset: PreparedDataset) -> pd.DataFrame:
    """Count the families of perturbations of every split, as `count_perturbations`.

    Returns:
        split, n_families and largest_family, the number of its perturbations.
    """
    rows = []
    for split, (family,) in _read_splits(dataset, "family"):
        sizes = np.unique(family, return_counts=True)[1]
        rows.append({"split": split, "n_families": len(sizes), "largest_family": int(sizes.max())})
    return pd.DataFrame(rows)


def _read_splits(dataset: PreparedDataset, *fields: str) -> Iterator[tuple[SplitName, list[NDArray[Any]]]]:
    """Read some fields of every split's table, those of a split that is not open from its files."""
    for split in SPLITS:
        if split in dataset.splits:
            yield split, [getattr(dataset.splits[split].table, name) for name in fields]
        elif dataset.path is not None:
            yield split, PerturbationTable.read_fields(dataset.path / split, *fields)
