from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable

from adapert.comparison.fit import ENSEMBLE_SUFFIX
from adapert.comparison.plan import ComparisonPlan
from adapert.config import Config
from adapert.errors import InputError
from adapert.evaluation.reproducibility import REPLICATES
from adapert.registry import MODELS
from adapert.statistics import pairs
from adapert.statistics.pairs import align_pairs, check_reference, has_one_fit, iterate_arms


def _rows(
    make_table: Callable[..., pd.DataFrame],
    variant: str,
    values: dict[int, dict[str, float]],
    split_seed: int = 0,
) -> pd.DataFrame:
    rows = [
        {"variant": variant, "seed": seed, "perturbation": name, "value": value, "split_seed": split_seed}
        for seed, of_seed in values.items()
        for name, value in of_seed.items()
    ]
    return make_table(rows)


def test_only_what_both_were_evaluated_on_is_a_pair(make_table: MakeTable) -> None:
    ours = _rows(make_table, "a", {0: {"A": 1.0, "B": 2.0}, 1: {"A": 3.0, "B": np.nan}, 2: {"A": 9.0}})
    theirs = _rows(make_table, "b", {0: {"A": 0.1, "B": 0.2, "C": 0.3}, 1: {"A": 0.4, "B": 0.5}})
    own, other, families = align_pairs(ours, theirs)
    assert families.tolist() == ["A", "B"]
    np.testing.assert_array_equal(own, [[1.0, 2.0], [3.0, np.nan]])
    np.testing.assert_array_equal(other, [[0.1, 0.2], [0.4, np.nan]])


def test_the_same_seed_on_another_split_is_no_pair(make_table: MakeTable) -> None:
    ours = _rows(make_table, "a", {0: {"A": 1.0}}, split_seed=1)
    own, other, _ = align_pairs(ours, _rows(make_table, "b", {0: {"A": 1.0}}, split_seed=2))
    assert own.size == other.size == 0


@pytest.mark.parametrize("is_swapped", [False, True])
def test_the_one_fit_of_a_model_without_chance_meets_every_seed(
    make_table: MakeTable, is_swapped: bool
) -> None:
    fit = _rows(make_table, "ridge_both", {0: {"A": 5.0, "B": 6.0}})
    seeds = _rows(make_table, "full", {0: {"A": 1.0, "B": 2.0}, 1: {"A": 3.0, "B": 4.0}})
    first, second, _ = align_pairs(seeds, fit) if is_swapped else align_pairs(fit, seeds)
    arms = (second, first) if is_swapped else (first, second)
    np.testing.assert_array_equal(arms[0], [[5.0, 6.0], [5.0, 6.0]])
    np.testing.assert_array_equal(arms[1], [[1.0, 2.0], [3.0, 4.0]])


def test_two_models_without_chance_are_one_pair_a_split(make_table: MakeTable) -> None:
    ridge = _rows(make_table, "ridge_both", {0: {"A": 5.0}, 1: {"A": 5.0}})
    own, other, _ = align_pairs(ridge, _rows(make_table, "mean", {7: {"A": 1.0}}))
    assert own.tolist() == [[5.0]]
    assert other.tolist() == [[1.0]]


def test_seeds_of_a_noisy_graph_are_fits_of_their_own(make_table: MakeTable) -> None:
    noisy = _rows(make_table, "kernel_ridge", {0: {"A": 5.0}, 1: {"A": 6.0}})
    full = _rows(make_table, "full", {0: {"A": 1.0}, 1: {"A": 3.0}})
    own, other, _ = align_pairs(noisy, full)
    assert own.tolist() == [[5.0], [6.0]]
    assert other.tolist() == [[1.0], [3.0]]
    own, other, _ = align_pairs(noisy, _rows(make_table, "mean", {0: {"A": 2.0}}))
    assert own.tolist() == [[5.0], [6.0]]
    assert other.tolist() == [[2.0], [2.0]]


def test_models_without_chance_are_those_of_the_registry() -> None:
    plan = ComparisonPlan(split="validation")
    configs = {name: Config().with_changes({"model.name": name}) for name in MODELS}
    assert {name for name in MODELS if not plan.has_chance(configs[name])} == pairs.without_chance()


def test_ceilings_are_the_experiment_s_replicates() -> None:
    assert set(REPLICATES) == pairs.CEILINGS


@pytest.mark.parametrize(
    ("variant", "is_one"),
    [
        (f"adapert{ENSEMBLE_SUFFIX}", True),
        ("kernel_ridge:tuned", True),
        ("full", False),
        ("adapert:tuned", False),
    ],
)
def test_the_name_of_a_variant_says_whether_it_has_one_fit(
    make_table: MakeTable, variant: str, is_one: bool
) -> None:
    assert has_one_fit(_rows(make_table, variant, {0: {"A": 1.0}})) == is_one


def test_every_group_is_compared_and_all_together(make_table: MakeTable) -> None:
    table = make_table(
        [
            {"variant": variant, "effect_size": group, "perturbation": group}
            for variant in ("full", "a", "b")
            for group in ("small", "large")
        ]
    ).astype({"effect_size": "category"})
    found = [tuple(arms.identity.values()) for arms in iterate_arms(table, "full", ["effect_size"])]
    expected = [(group, variant, "pds") for group in ("all", "large", "small") for variant in ("a", "b")]
    assert found == expected


def test_an_unknown_reference_is_refused_with_the_nearest_name(make_table: MakeTable) -> None:
    table = make_table([{"variant": "full"}, {"variant": "no_context"}])
    with pytest.raises(InputError, match=r"'no_contxt', but the long table has no row of it\. Did you mean"):
        check_reference(table, "no_contxt")
