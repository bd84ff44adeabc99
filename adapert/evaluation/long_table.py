"""The long table: a row a perturbation and metric, in `LONG_COLUMNS`."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, SplitName
from adapert.data.splits import count_unseen_genes
from adapert.files import whole_file
from adapert.records import LONG_COLUMNS


def build_long_table(
    identity: Mapping[str, Any],
    dataset: PreparedDataset,
    split: SplitName,
    metrics: Mapping[str, FloatArray],
    learned: Collection[str] | None = None,
) -> pd.DataFrame:
    """Lay out one model's metrics on a split.

    ``split_seed`` is the manifest's: the prepared split's seed, or, below zero, the negative of the seed by
    which training and validation were redrawn (`adapert.data.regroup`). ``n_unseen_genes`` counts the genes
    of a perturbation that the fit has seen perturbed neither alone nor in a combination.

    Args:
        identity: ``run``, ``study``, ``variant``, ``config_digest`` and ``seed`` of the fit.
        dataset: What the fit is scored on, with that split.
        split: Its perturbations are the rows.
        metrics: Name to values, (n_perturbations,) each.
        learned: Perturbations that the fit has seen; None for those of the data set's training split.

    Returns:
        `LONG_COLUMNS`, the perturbations of a metric below each other.
    """
    table = dataset.splits[split].table
    seen = dataset.splits["train"].table.perturbations.tolist() if learned is None else learned
    wide = pd.DataFrame(
        {
            **identity,
            "split_seed": dataset.manifest.split_seed,
            "split": split,
            "perturbation": table.perturbations,
            "effect_size": table.effect_size,
            "family": table.family,
            "n_unseen_genes": count_unseen_genes(table.perturbations.tolist(), seen),
            "n_cells": table.n_cells,
            "n_degs": table.n_degs,
            **metrics,
        }
    )
    # Everything but the metrics is repeated in each row.
    fixed = [column for column in LONG_COLUMNS if column not in ("metric", "value")]
    return wide.melt(fixed, list(metrics), "metric", "value")


def write_long_table(table: pd.DataFrame, path: Path) -> None:
    """Write a long table as Parquet, whole or not at all."""
    with whole_file(path) as beside:
        table.to_parquet(beside, index=False)
