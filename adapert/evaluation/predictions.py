"""The file of an evaluation's predictions by every compared model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adapert.data.formats.hdf5 import check_hdf5
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, SplitName
from adapert.data.units import describe_units
from adapert.errors import InputError, first_line

if TYPE_CHECKING:
    from anndata import AnnData

PREDICTIONS_FILE = "predictions.h5ad"
"""In the folder of an evaluation."""

DEG_LAYER = "is_deg"
"""The one layer that is no variant's prediction."""


def build_predictions(
    dataset: PreparedDataset, split: SplitName, predicted_delta: Mapping[str, FloatArray]
) -> "AnnData":
    """Put predictions next to what was observed, perturbations by genes.

    `predicted_delta` has each variant's deltas, (n_perturbations, n_genes), in the split's order.

    Returns:
        ``X`` is the observed delta, ``layers["is_deg"]`` the DEGs, and ``layers[VARIANT]`` a prediction each;
        ``obs`` has effect_size, n_cells and n_degs, ``uns`` the data set's fingerprint, the
        split and the deltas' units.
    """
    from anndata import AnnData

    table = dataset.splits[split].table
    observed = {
        "effect_size": table.effect_size.astype(object),
        "n_cells": np.asarray(table.n_cells),
        "n_degs": np.asarray(table.n_degs),
    }
    layers = {name: delta.astype(np.float32) for name, delta in predicted_delta.items()}
    return AnnData(
        X=np.array(table.delta, dtype=np.float32),
        obs=pd.DataFrame(observed, index=pd.Index(table.perturbations.astype(object), name="perturbation")),
        var=pd.DataFrame(index=pd.Index(dataset.gene_names.astype(object), name="gene")),
        layers={DEG_LAYER: np.array(table.deg_mask, dtype=bool), **layers},
        uns={"fingerprint": dataset.fingerprint, "split": split, "units": describe_units(dataset.manifest)},
    )


def write_predictions(predictions: "AnnData", folder: Path) -> None:
    """Write predictions into the folder of an evaluation."""
    predictions.write_h5ad(folder / PREDICTIONS_FILE, compression="gzip")


def read_predictions(folder: Path) -> "AnnData":
    """Read the predictions of an evaluation, as `build_predictions` lays them out.

    Raises:
        InputError: It has no predictions, or a damaged file.
    """
    import h5py
    from anndata import read_h5ad

    path = folder / PREDICTIONS_FILE
    if not path.is_file():
        raise InputError(
            f"An evaluation keeps its predictions in '{PREDICTIONS_FILE}', but '{folder}' has no such file. "
            "Name a folder that 'adapert evaluate' wrote."
        )
    try:
        with h5py.File(path, "r") as file:
            check_hdf5(file, path, "Predictions", ("obs", "var", "X", "layers"))
        return read_h5ad(path)
    except InputError:
        raise
    except Exception as error:  # HDF5 and anndata may raise nearly anything at a damaged file
        raise InputError(
            f"Predictions must be a whole .h5ad file, but '{path}' is damaged: {first_line(error)} Run "
            "'adapert evaluate' again."
        ) from error
