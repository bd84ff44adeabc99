"""The reference that predicts mean changes of the training cells: TxPert's non-learned general baseline."""

from collections.abc import Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.reference.additive import add_genes
from adapert.models.reference.choice import ModelWithoutSettings


class MeanModel(ModelWithoutSettings):
    """Predict the mean change of a perturbation's training cells, else the mean change of all of them.

    TxPert, "Nonlearned general baseline". With y a training cell of perturbation q, cell line c and batch b,
    and x_(c,b) the mean of the controls matched to it:

        Delta(p) = mean over cells with q = p of (y - x_(c,b))    where there is such a cell
        Delta(p) = mean over all training cells of (y - x_(c,b))  otherwise

    A combination without training cells of its own is the sum of its genes' Delta. Cells weigh equally, so
    perturbations weigh by their cells, across batches and cell lines. The prediction is a delta, which the
    paper adds to the controls of the batch and cell line it is wanted for.
    """

    def fit(self, dataset: PreparedDataset) -> None:
        """Average the training cells' changes, of each perturbation and of all."""
        table = dataset.splits["train"].table
        # The prepared delta of a perturbation is its cells' mean of y - x_(c,b).
        delta = np.asarray(table.delta, dtype=np.float64)
        self._seen = {str(name): row for name, row in zip(table.perturbations, delta, strict=True)}
        self._mean: FloatArray = np.average(delta, axis=0, weights=np.asarray(table.n_cells))

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict the means, log1p units, (n_perturbations, n_genes)."""
        return np.stack(
            [self._seen.get(name, add_genes(name, self._seen, self._mean)) for name in perturbations]
        )
