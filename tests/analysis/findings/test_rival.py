from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present

from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from analysis.findings.rival import find_evaluated_rival, find_rival


def leaderboard(difference: float, low: float, high: float, p: float, n_seeds: int = 5) -> pd.DataFrame:
    """Kernel ridge minus AdaPert, as a leaderboard has it; the default forms are not compared."""
    common: dict[str, Any] = {"study": "peers", "split": "validation", "effect_size": "all"}
    rows = []
    for system, form, compared in (
        ("adapert", "tuned", (np.nan, np.nan, np.nan, np.nan)),
        ("adapert", "default", (np.nan, np.nan, np.nan, np.nan)),
        ("kernel_ridge", "tuned", (difference, low, high, p)),
        ("kernel_ridge", "default", (9.0, 9.0, 9.0, 0.0)),
    ):
        named = dict(zip(("difference", "low", "high", "p_holm"), compared, strict=True))
        rows.append(
            common
            | {"system": system, "form": form, "metric": "pearson_delta", "n_seeds": n_seeds}
            | {f"adapert_{name}": value for name, value in named.items()}
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("compared", "certainty", "words"),
    [
        ((-0.05, -0.08, -0.02, 0.001), SUPPORTED, "AdaPert is better than kernel ridge where both are tuned"),
        ((0.05, 0.02, 0.08, 0.001), SUPPORTED, "AdaPert is worse than kernel ridge"),
        ((0.001, -0.01, 0.01, 0.9), SUPPORTED, "AdaPert is level with kernel ridge"),
        ((-0.05, -0.12, 0.02, 0.2), UNDECIDED, "it is undecided whether AdaPert is better than kernel ridge"),
    ],
)
def test_systems_are_compared_as_they_were_picked(
    compared: tuple[float, float, float, float], certainty: str, words: str
) -> None:
    finding = present(find_rival(leaderboard(*compared)))
    assert finding.certainty == certainty
    assert words in finding.sentence
    (estimate,) = finding.estimates
    assert (estimate.value, estimate.low, estimate.high) == (-compared[0], -compared[2], -compared[1])


def test_one_seed_leaves_it_undecided() -> None:
    finding = present(find_rival(leaderboard(-0.05, -0.08, -0.02, 0.001, n_seeds=1)))
    assert finding.certainty == UNDECIDED
    assert (
        "with one seed and a difference of 0.050 (95% interval 0.020 to 0.080; p = 0.001)" in finding.sentence
    )


def test_without_kernel_ridge_there_is_no_finding() -> None:
    table = leaderboard(-0.05, -0.08, -0.02, 0.001)
    assert find_rival(table[table["system"] != "kernel_ridge"]) is None


def test_an_evaluation_compares_on_its_own_split() -> None:
    row = {
        **{
            "variant": "adapert",
            "reference": "kernel_ridge",
            "effect_size": "all",
            "metric": "pearson_delta",
        },
        **{"difference": 0.02, "low": 0.01, "high": 0.03, "p_holm": 0.002, "n_seeds": 5},
    }
    others = [row | {"effect_size": "small"}, row | {"reference": "mean"}, row | {"metric": "pds"}]
    record = {"opened": {"split": "test"}}
    finding = present(find_evaluated_rival(pd.DataFrame([*others, row]), record, "test_001"))
    assert finding.sentence == (
        "Against kernel ridge ('test_001', test perturbations, Pearson-delta): AdaPert is better than the "
        "evaluated kernel ridge, with a difference of 0.020 (95% interval 0.010 to 0.030; p = 0.002)."
    )
    assert find_evaluated_rival(pd.DataFrame(others), record, "test_001") is None
    assert find_evaluated_rival(pd.DataFrame(), record, "test_001") is None
