from pathlib import Path

import numpy as np
import pandas as pd
from fixtures.dataset import build_tiny_dataset

from adapert.data.prepared import PreparedDataset
from adapert.evaluation.long_table import build_long_table, write_long_table
from adapert.records import LONG_COLUMNS

IDENTITY = {"run": "r", "study": "s", "variant": "full", "config_digest": "d", "seed": 3}


def test_metrics_stand_below_each_other_with_what_is_known_of_each_perturbation(
    tiny_dataset: PreparedDataset,
) -> None:
    table = tiny_dataset.splits["test"].table
    metrics = {"pds": np.array([0.1, 0.2, 0.3]), "mse": np.array([1.0, np.nan, 3.0])}
    long = build_long_table(IDENTITY, tiny_dataset, "test", metrics)
    assert tuple(long.columns) == LONG_COLUMNS
    assert long["metric"].tolist() == ["pds"] * 3 + ["mse"] * 3
    np.testing.assert_array_equal(long["value"], [0.1, 0.2, 0.3, 1.0, np.nan, 3.0])
    for column in ("effect_size", "n_cells", "n_degs"):
        assert long[column].tolist() == getattr(table, column).tolist() * 2
    assert long["perturbation"].tolist() == table.perturbations.tolist() * 2
    assert (long[["seed", "split_seed", "split"]] == [3, 0, "test"]).all(axis=None)


def test_genes_are_unseen_that_training_perturbs_neither_alone_nor_together() -> None:
    dataset = build_tiny_dataset(4)  # trains on G02 and G00+G03, among others
    long = build_long_table(IDENTITY, dataset, "test", {"pds": np.zeros(3)})
    counts = dict(zip(long["perturbation"], long["n_unseen_genes"], strict=True))
    assert counts == {"G03": 0, "G02+G05": 1, "G11": 1}


def test_a_table_is_read_back_as_it_was_written(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    long = build_long_table(IDENTITY, tiny_dataset, "test", {"pds": np.array([0.1, 0.2, 0.3])})
    write_long_table(long, tmp_path / "trial" / "long.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trial" / "long.parquet"), long)
