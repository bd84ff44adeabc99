"""A response table of another screen as a source of embeddings: what the loss of a gene does elsewhere."""

import tempfile
from pathlib import Path

import numpy as np
import scipy.linalg

from adapert.data.columns import PERTURBATION, find_column, texts
from adapert.data.expression import ValueCheck
from adapert.data.formats.matrices import read_annotations, read_matrix
from adapert.data.genes import read_symbols
from adapert.data.labels.rule import LEFT_OUT, LabelRule
from adapert.data.schema import CONTROL, FloatArray, StringArray, is_combination
from adapert.errors import InputError, name_some

N_COMPONENTS = 64
"""Principal components that a screen is reduced to, where it has more perturbations."""


def read_screen(path: Path) -> tuple[StringArray, FloatArray]:
    """Read an .h5ad of perturbations by genes whose ``X`` is responses, and reduce it by perturbation.

    Rows of controls and of combinations are left out.

    Returns:
        Perturbed genes, (n_perturbations,), and their `N_COMPONENTS` leading principal components, or as many
        as there are, (n_perturbations, n_components).

    Raises:
        FileNotFoundError: No such file.
        InputError: Not such a table, fewer than two perturbations, or several rows of one.
    """
    file = read_annotations(path)
    if not file.has_x:
        raise InputError(
            f"A screen's responses must be X of its file, but '{path}' has none. Make them X and write it "
            "again with anndata."
        )
    symbols = read_symbols(file.var, None)
    rule = LabelRule().with_genes(symbols.names.tolist(), symbols.ids)
    column = find_column(file.obs, PERTURBATION, None)
    labels = texts(file.obs.index.to_series() if column is None else file.obs[column])
    names = np.array([rule.read(label).name for label in labels.tolist()])
    is_single = np.array([name not in (CONTROL, LEFT_OUT) and not is_combination(name) for name in names])
    rows = np.flatnonzero(is_single)
    distinct, counts = np.unique(names[rows], return_counts=True)
    if repeated := distinct[counts > 1].tolist():
        raise InputError(
            f"A screen that embeds genes must have one row per perturbation, but in '{path}' {len(repeated)} "
            f"have several: {name_some(repeated)}. Average their rows; of cells, average each perturbation's "
            "and subtract the controls'."
        )
    if len(distinct) < 2:
        raise InputError(
            f"A screen that embeds genes must have at least 2 perturbations of one gene, but '{path}' has "
            f"{len(distinct)}. Name a table of responses."
        )
    with tempfile.TemporaryDirectory() as scratch:
        responses = read_matrix(file.matrix(None), rows, Path(scratch))
    check = ValueCheck()
    check.add(responses)
    check.check_finite(symbols.names, "Responses", "Correct or leave out these values in the file.")
    return names[rows], principal_components(responses.toarray().astype(np.float64), N_COMPONENTS)


def principal_components(rows: FloatArray, n_components: int) -> FloatArray:
    """Compute the scores of rows on the leading principal components of them all.

    Args:
        rows: (n_rows, n_columns).
        n_components: Components wanted; rows less one where there are no more.

    Returns:
        (n_rows, n_components), in each of which the largest absolute score is positive.
    """
    centred = rows - rows.mean(axis=0)
    # By the products of rows: a screen has fewer perturbations than genes.
    n_rows, n_kept = len(rows), min(n_components, len(rows) - 1)
    values, vectors = scipy.linalg.eigh(centred @ centred.T, subset_by_index=(n_rows - n_kept, n_rows - 1))
    scores = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1]
    largest = np.abs(scores).argmax(axis=0)
    signed: FloatArray = scores * np.where(scores[largest, np.arange(n_kept)] < 0, -1, 1)
    return signed
