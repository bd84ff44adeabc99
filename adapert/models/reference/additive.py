"""The reference that adds up the responses to single genes."""

from collections.abc import Mapping, Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, genes_of
from adapert.models.reference.choice import ModelWithoutSettings


class AdditiveModel(ModelWithoutSettings):
    """Predict delta(a+b) = delta(a) + delta(b), from the training deltas of a and b alone.

    A gene that was never perturbed alone in training counts as the mean gene: every training delta divided
    by its number of genes, averaged over perturbations. An unseen single is then close to the training
    mean. Unlike `MeanModel`, a combination is never looked up, and combinations do not make the mean gene
    as strong as two.
    """

    def fit(self, dataset: PreparedDataset) -> None:
        """Keep the training deltas of single genes, and the mean gene's."""
        table = dataset.splits["train"].table
        # Sums over many perturbations in float32 would lose digits.
        delta = np.asarray(table.delta, dtype=np.float64)
        n_genes = np.array([len(genes_of(str(name))) for name in table.perturbations])
        self._mean_gene = (delta / n_genes[:, None]).mean(axis=0)
        self._single = {str(table.perturbations[row]): delta[row] for row in np.flatnonzero(n_genes == 1)}

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict the sums, log1p units, (n_perturbations, n_genes)."""
        return np.stack([add_genes(name, self._single, self._mean_gene) for name in perturbations])


def add_genes(perturbation: str, delta: Mapping[str, FloatArray], otherwise: FloatArray) -> FloatArray:
    """Add up what each gene of a perturbation does.

    Args:
        perturbation: One gene, or several joined by ``+``.
        delta: Deltas of single genes, log1p units, (n_genes,) each.
        otherwise: What a gene does that `delta` lacks, (n_genes,).

    Returns:
        (n_genes,).
    """
    total: FloatArray = np.sum([delta.get(gene, otherwise) for gene in genes_of(perturbation)], axis=0)
    return total
