"""Several models as one: the mean of their predictions."""

from collections.abc import Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.protocol import PerturbationModel


class Ensemble:
    """Predict the mean of several models' predictions; of one config's seeds, a seed ensemble."""

    def __init__(self, members: Sequence[PerturbationModel]) -> None:
        """Keep the members, fitted or to be fitted together.

        Args:
            members: One at least.
        """
        self.members = members
        self.is_seeded = any(member.is_seeded for member in members)

    def fit(self, dataset: PreparedDataset) -> None:
        """Fit every member."""
        for member in self.members:
            member.fit(dataset)

    def refit(self, dataset: PreparedDataset) -> None:
        """Refit every member, each with what its own fit chose."""
        for member in self.members:
            member.refit(dataset)

    def chosen(self) -> dict[str, float | str]:
        """Nothing of its own: each member has chosen for itself."""
        return {}

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        mean: FloatArray = np.mean([member.predict(perturbations) for member in self.members], axis=0)
        return mean
