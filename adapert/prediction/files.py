"""Predicted deltas as a file: CSV, Parquet or AnnData."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adapert.csv_files import write_csv
from adapert.data.schema import genes_of
from adapert.errors import InputError
from adapert.files import whole_file

if TYPE_CHECKING:
    from anndata import AnnData

FORMS = (".csv", ".parquet", ".h5ad")


def check_form(path: Path) -> None:
    """Refuse a file of another form than `FORMS`, before any work is done for it.

    Raises:
        InputError: A suffix that is not among them.
    """
    if path.suffix not in FORMS:
        raise InputError(f"Predictions are written as {', '.join(FORMS)}, but --out is '{path}'.")


def write_deltas(deltas: pd.DataFrame, path: Path, units: str) -> None:
    """Write deltas, a row a perturbation: CSV and Parquet with a column a gene, AnnData (`build_anndata`).

    Args:
        deltas: (n_perturbations, n_genes).
        path: Ends in one of `FORMS`; replaced where it exists.
        units: Units of `deltas`; only AnnData has a place for them, ``uns["values"]``.

    Raises:
        InputError: A suffix that is not in `FORMS`, or a file that cannot be written.
    """
    check_form(path)
    with whole_file(path) as beside:
        if path.suffix == ".csv":
            write_csv(deltas, beside, has_index=True)
        elif path.suffix == ".parquet":
            deltas.reset_index().to_parquet(beside, index=False)
        else:
            build_anndata(deltas, units).write_h5ad(beside)


def build_anndata(deltas: pd.DataFrame, units: str) -> "AnnData":
    """Lay deltas out as scanpy takes them.

    Returns:
        X (n_perturbations, n_genes); obs by perturbation, with its name as the category ``perturbation``, by
        which scanpy groups, and ``n_perturbed_genes``; var by gene symbol; ``uns["values"]`` in words.
    """
    import anndata  # takes a second

    names = deltas.index.astype(str).tolist()
    obs = pd.DataFrame(
        {
            "perturbation": pd.Categorical(names, list(dict.fromkeys(names))),
            "n_perturbed_genes": [len(genes_of(name)) for name in names],
        },
        index=names,
    )
    var = pd.DataFrame(index=pd.Index(deltas.columns.astype(str), name="gene"))
    return anndata.AnnData(deltas.to_numpy(), obs, var, uns={"values": f"predicted delta, {units}"})
