"""Another model's predictions, read from .h5ad files: deltas, mean profiles or cells."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse

from adapert.data.columns import PERTURBATION, find_column, texts
from adapert.data.expression import LOG_MAXIMUM, StoredExpression, ValueCheck
from adapert.data.formats.matrices import AnnotatedFile, check_layer, read_annotations, read_chunks
from adapert.data.formats.stored import StoredRows
from adapert.data.genes import read_symbols
from adapert.data.labels.rule import LabelRule
from adapert.data.prepared import PreparedDataset, hash_file
from adapert.data.schema import CONTROL, FloatArray, IntArray, SplitName, StringArray
from adapert.data.sources import NAME, parse_named
from adapert.errors import InputError, name_some
from adapert.evaluation.controls import pooled_offset

SAME_SCALE = 1.4
"""Largest ratio of the sums of two mean profiles that count as of one scale; 10,000 counts a cell in place of
4,000 make about two."""


@dataclass(frozen=True, kw_only=True)
class FilePrediction:
    """What a file predicts for a split.

    Attributes:
        name: What the user calls its model.
        hash: Checksum of the file.
        form: ``"deltas"``, ``"profiles"`` (a row a perturbation, and controls) or ``"cells"``.
        predicted_delta: log1p units, (n_perturbations, n_genes), in the order of the split's table.
        expression: Expression of all its rows, if these are cells.
        rows: Rows of each perturbation's cells.
    """

    name: str
    hash: str
    form: str
    predicted_delta: FloatArray
    expression: StoredExpression | None = None
    rows: Sequence[IntArray] = ()

    def cells(self) -> Iterator[FloatArray] | None:
        """Yield each perturbation's predicted cells, log1p units, (n_cells, n_genes); None without cells."""
        if self.expression is None:
            return None
        stored = self.expression
        return (stored.of(rows).toarray() for rows in self.rows)


def parse_predictions(given: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FILE`` or ``FILE`` each, see `parse_named`; a file without a name is called by its stem.

    Raises:
        InputError: A name that is none, or one that is given twice.
    """
    named = parse_named(
        given,
        "file of predictions",
        "--predictions NAME=FILE",
        lambda path: path.stem,
        lambda name, _: check_name(name),
    )
    return {name: Path(path) for name, path in named.items()}


def check_name(name: str) -> None:
    """Refuse what cannot name a row of tables.

    Raises:
        InputError: It is no such name.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            "Predictions need a name of 1 to 40 letters, digits, '_', '.' and '-' that begins with a letter "
            f"or digit, but {name[:60]!r} is no such name. Give --predictions NAME=FILE."
        )


def read_prediction(
    name: str, path: Path, dataset: PreparedDataset, split: SplitName, scratch: Path
) -> FilePrediction:
    """Read what a model predicts for a split; no observed expression of it is looked at.

    A row a perturbation and no controls is read as deltas. A row a perturbation beside controls is read as
    mean profiles, several rows as cells, which need no controls: those of the data set then stand for them. A
    profile's delta is against the file's controls, moved by the difference between the controls matched to
    the perturbation and all controls, so that it is a delta as the data set's own.

    Args:
        name: What to call the model.
        path: .h5ad whose ``X`` is deltas or log1p expression. Perturbations are in a column of a usual name
            or the index, genes in the index or a column of symbols; both in any order, and there may be more.
        dataset: With the split, of which the names alone are read.
        split: Its perturbations must all be there.
        scratch: Folder, into which the expression of cells is copied.

    Raises:
        FileNotFoundError: No such file.
        InputError: No .h5ad, perturbations or genes that are missing, values that are not finite or of
            another scale, or cells for a data set of responses.
    """
    file = read_annotations(path)
    check_layer(file, None, "--predictions")
    table = dataset.splits[split].table
    labels = _read_labels(file, dataset)
    _check_orientation(file, labels, dataset, table.perturbations)
    _check_perturbations(path, labels, table.perturbations, split)
    controls = np.flatnonzero(labels == CONTROL)
    rows = [np.flatnonzero(labels == perturbation) for perturbation in table.perturbations]
    expression, check = _store(file, np.unique(np.concatenate([controls, *rows])), dataset, scratch / name)
    are_cells = max(map(len, rows)) > 1
    if not are_cells and not len(controls):
        deltas = np.concatenate([expression.of(own).toarray() for own in rows])
        _check_deltas(path, deltas, dataset)
        return FilePrediction(name=name, hash=hash_file(path), form="deltas", predicted_delta=deltas)
    if dataset.manifest.kind == "responses":
        raise InputError(
            "The data set was prepared from responses, whose predictions are a row of deltas for each "
            f"perturbation, but '{path}' has {'several rows of one' if are_cells else 'rows of controls'}. "
            "Subtract the controls from each perturbation's mean."
        )
    means = np.stack([_mean(expression, own) for own in rows])
    control_mean = _mean(expression, controls) if len(controls) else None
    if control_mean is not None and not control_mean.any():
        raise InputError(
            f"Controls are of expression, but those in '{path}' are all 0, as those of deltas are. Leave the "
            "rows of controls out: a row a perturbation without controls is read as deltas."
        )
    _check_expression(path, check, means, control_mean, dataset)
    baseline = dataset.shared.control_mean if control_mean is None else control_mean
    return FilePrediction(
        name=name,
        hash=hash_file(path),
        form="cells" if are_cells else "profiles",
        predicted_delta=means - baseline - pooled_offset(dataset, table),
        expression=expression if are_cells else None,
        rows=rows if are_cells else (),
    )


def record_files(predictions: Sequence[FilePrediction]) -> list[Mapping[str, str]]:
    """List names, checksums and forms, as an evaluation's record keeps them."""
    return [{"name": one.name, "hash": one.hash, "form": one.form} for one in predictions]


def _store(
    file: AnnotatedFile, kept: IntArray, dataset: PreparedDataset, folder: Path
) -> tuple[StoredExpression, ValueCheck]:
    """Copy some rows into a new folder, to be read by their number in the file; refuse NaN and infinity."""
    symbols, check = read_symbols(file.var, None), ValueCheck()
    gene_index = _index_genes(file.path, symbols.names, dataset)
    folder.mkdir()

    def read() -> Iterator[scipy.sparse.csr_array]:
        for part in read_chunks(file.matrix(None), kept, folder):
            check.add(part)
            yield part

    stored = StoredRows.write(folder / "rows", read(), len(gene_index))
    check.check_finite(symbols.names, f"Predictions of '{file.path}'", "Correct or leave out its model.")
    row_index = np.full(len(file.obs), -1, dtype=np.int64)
    row_index[kept] = np.arange(len(kept))
    expression = StoredExpression(
        rows=stored, row_index=row_index, gene_index=gene_index, n_genes=dataset.n_genes, scale=None
    )
    return expression, check


def _read_labels(file: AnnotatedFile, dataset: PreparedDataset) -> StringArray:
    """Read each row's perturbation by the rule of the data's own labels, (n_rows,)."""
    column = find_column(file.obs, PERTURBATION, None)
    labels = texts(file.obs.index.to_series() if column is None else file.obs[column])
    rule = LabelRule(known_genes=dataset.shared.node_names.tolist())
    own_controls = set(dataset.manifest.choices.controls)
    names = {
        label: CONTROL if label in own_controls else rule.read(label).name
        for label in labels.dropna().unique()
    }
    return labels.map(names).fillna("").to_numpy(dtype=str)


def _check_orientation(
    file: AnnotatedFile, labels: StringArray, dataset: PreparedDataset, wanted: StringArray
) -> None:
    columns = set(read_symbols(file.var, None).names.tolist())
    if set(dataset.gene_names.tolist()) <= set(labels.tolist()) and set(wanted.tolist()) <= columns:
        raise InputError(
            f"Predictions have a row a perturbation or cell and a column a gene, but '{file.path}' has them "
            "the other way round. Transpose it."
        )


def _check_perturbations(path: Path, labels: StringArray, wanted: StringArray, split: str) -> None:
    found = set(labels.tolist())
    missing = [name for name in wanted.tolist() if name not in found]
    if missing:
        others = sorted(found - {CONTROL, ""})
        raise InputError(
            f"Predictions must be of every perturbation of the {split} split, but '{path}' lacks "
            f"{len(missing)} of {len(wanted)}: {name_some(missing)}. It has "
            f"{name_some(others, 3) or 'none'}; add the missing ones."
        )


def _index_genes(path: Path, symbols: StringArray, dataset: PreparedDataset) -> IntArray:
    """Find each gene of the file among those of the data set, -1 for others, (n_genes of the file,)."""
    known = {str(name): number for number, name in enumerate(dataset.gene_names)}
    counted = Counter(symbols.tolist())
    if missing := sorted(known.keys() - counted.keys()):
        unknown = [name for name in counted if name not in known]
        also = f", and has {len(unknown)} that the data lack: {name_some(unknown, 3)}" if unknown else ""
        raise InputError(
            f"Predictions must be of every measured gene of the data set, but '{path}' lacks "
            f"{len(missing)} of {len(known)}: {name_some(missing)}{also}. Predict the data set's genes, "
            "under their names."
        )
    if twice := sorted(name for name, n in counted.items() if n > 1 and name in known):
        raise InputError(
            f"Predictions must have each gene once, but '{path}' repeats {len(twice)}: "
            f"{name_some(twice)}. Keep one of each."
        )
    return np.array([known.get(name, -1) for name in symbols.tolist()], dtype=np.int32)


def _mean(expression: StoredExpression, rows: IntArray) -> FloatArray:
    total = np.zeros(expression.n_genes)
    for _, part in expression.chunks(rows):
        total += part.sum(axis=0, dtype=np.float64)
    return total / len(rows)


def _check_deltas(path: Path, deltas: FloatArray, dataset: PreparedDataset) -> None:
    if dataset.manifest.kind == "responses":
        return
    largest = np.abs(deltas).max()
    if largest > LOG_MAXIMUM:
        raise InputError(
            f"Predicted deltas must be in log1p units, but '{path}' has one of {largest:g}. Predict "
            "the difference of log1p-transformed, normalised expression."
        )
    if largest > 0 and not (deltas < 0).any():
        raise InputError(
            f"Predicted deltas are changes from control, but in '{path}' none is below 0: they look like "
            "expression. Subtract the controls' mean, or add it as a row labelled 'control'."
        )


def _check_expression(
    path: Path,
    check: ValueCheck,
    means: FloatArray,
    control_mean: FloatArray | None,
    dataset: PreparedDataset,
) -> None:
    cure = "Scale each cell's counts as the data set's were, and apply log1p."
    if (check.is_whole and check.maximum > 1) or check.maximum > LOG_MAXIMUM:
        kind = "counts" if check.is_whole else f"values of up to {check.maximum:g}: not logged"
        raise InputError(f"Predicted cells must be in log1p units, but '{path}' holds {kind}. {cure}")
    own, profile = dataset.shared.control_mean, means.mean(axis=0) if control_mean is None else control_mean
    ours, theirs = (float(np.expm1(np.maximum(mean, 0)).sum()) for mean in (own, profile))
    if not ours / SAME_SCALE <= theirs <= ours * SAME_SCALE:
        whose = "its cells" if control_mean is None else "its controls"
        raise InputError(
            f"Predicted cells must be on the data set's scale, but the mean profile of {whose} in '{path}' "
            f"adds up to {theirs:,.0f}, and that of the data set's controls to {ours:,.0f}. {cure}"
        )
