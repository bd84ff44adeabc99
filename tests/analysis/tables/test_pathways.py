import numpy as np
import pandas as pd
import pytest

from analysis.tables.pathways import build_pathway_table

RECORD = {"opened": {"split": "test", "data_fingerprint": "f00", "n_perturbations": 2}}


def test_agreement_is_averaged_over_perturbations_and_counts_are_summed() -> None:
    agreement = pd.DataFrame(
        {
            "variant": ["adapert", "mean"] * 2,
            "r": [0.5, np.nan, 0.7, 0.1],
            "n_observed": [4, 4, 6, 6],
            "n_predicted": [3, 0, 5, 1],
            "n_both": [2, 0, 4, 1],
        }
    )
    table = build_pathway_table(agreement, RECORD)
    sd = np.std([0.5, 0.7], ddof=1)
    assert table.cells.to_numpy().tolist() == [
        ["AdaPert", f"0.600 ± {sd:.3f}", "10", "8", "6"],
        ["mean change", "0.100", "10", "1", "1"],
    ]
    assert table.frame["n_perturbations"].tolist() == [2, 1]
    assert table.frame["mean_r"].tolist() == pytest.approx([0.6, 0.1])
