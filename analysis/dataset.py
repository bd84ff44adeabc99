"""What figures and tables say of a prepared data set besides its numbers."""

from pathlib import Path

import pandas as pd

from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SPLITS

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
    parts = []
    for split in SPLITS:
        if split in dataset.splits:
            table = dataset.splits[split].table
            effect_size, n_cells = table.effect_size, table.n_cells
        elif dataset.path is not None:
            effect_size, n_cells = PerturbationTable.read_fields(
                dataset.path / split, "effect_size", "n_cells"
            )
        else:
            continue
        known = {"effect_size": effect_size, "n_perturbations": 1, "n_cells": n_cells}
        parts.append(pd.DataFrame({"split": split} | known))
    frame = pd.concat(parts, ignore_index=True)
    return frame.groupby(["split", "effect_size"], as_index=False, sort=False).sum()
