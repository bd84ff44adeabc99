"""Combinations of the long table, grouped by how many of their genes no training perturbation targeted."""

import pandas as pd

from adapert.data.schema import is_combination
from adapert.statistics.pairs import ALL


def pool_unseen_genes(frame: pd.DataFrame) -> pd.DataFrame:
    """Take the combinations of a long table, once all of them and once by their unseen genes.

    Returns:
        The combinations' rows with ``n_unseen_genes`` as text, `ALL` first; by number only where there are
        several, and without rows where there is no combination.
    """
    of_combinations = frame[frame["perturbation"].map(is_combination).astype(bool)]
    together = of_combinations.assign(n_unseen_genes=ALL)
    if of_combinations["n_unseen_genes"].nunique() < 2:
        return together
    return pd.concat([together, of_combinations.astype({"n_unseen_genes": str})])
