"""Agreement with cell-eval 0.8.2 on pdex 0.3.0, from the same cells."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from adapert.data.schema import FloatArray
from adapert.evaluation.metrics import pds
from benchmarks.parity import (
    OVERLAPS,
    TOLERANCE,
    Case,
    cell_eval_values,
    constant_case,
    differences,
    no_change_case,
    nothing_true_case,
    own_values,
    random_case,
    real_case,
    ties_at_k,
)

# Imported by the tests alone: it takes seconds, in each process that collects them.
pytestmark = pytest.mark.skipif(not find_spec("cell_eval"), reason="the extra 'parity' is not installed")

SHAPES = [(3, 20, 15, 30), (8, 60, 25, 40), (12, 130, 30, 200), (5, 250, 60, 90)]


def assert_agreement(case: Case) -> None:
    assert {name: value for name, value in differences(case).items() if value > TOLERANCE} == {}


@pytest.mark.parametrize(("seed", "shape"), enumerate(SHAPES))
def test_metrics_agree_on_random_cells(seed: int, shape: tuple[int, int, int, int]) -> None:
    case = random_case(seed, *shape)
    assert own_values(case)["n_true_degs"].any()
    assert not any(ties_at_k(case, k).any() for k in OVERLAPS.values())
    assert_agreement(case)


@pytest.mark.parametrize("cell_type", ["k562", "A172"])
def test_metrics_agree_on_real_cells(real_data: Path, cell_type: str) -> None:
    assert_agreement(real_case(real_data, cell_type, seed=0))


def test_metrics_agree_where_one_mean_profile_is_predicted_for_all() -> None:
    assert_agreement(constant_case(4, 8, 60, 30))


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_metrics_agree_where_no_change_is_predicted() -> None:
    case = no_change_case(5, 8, 60, 30)
    values = own_values(case)
    assert np.isnan(values["pearson_delta_pooled"]).all()
    assert not values["n_predicted_degs"].any()
    assert_agreement(case)


def test_metrics_agree_where_no_deg_is_true() -> None:
    case = nothing_true_case(6, 8, 60, 30)
    values = own_values(case)
    assert not values["n_true_degs"].any()
    assert values["n_predicted_degs"].all()
    assert_agreement(case)


def tile_control_mean(case: Case) -> FloatArray:
    """The mean of the controls in every predicted cell: up to rounding, each fold change is 0."""
    is_control = case.labels == "non-targeting"
    mean = case.real[is_control].mean(axis=0)
    return np.where(is_control[:, None], case.real, mean)


def draw_all_controls(case: Case) -> FloatArray:
    """Every control once in each perturbation's cells, in another order."""
    is_control, generator = case.labels == "non-targeting", np.random.default_rng(0)
    predicted = case.real.copy()
    for name in case.perturbations:
        predicted[case.labels == name] = generator.permutation(case.real[is_control])
    return predicted


@pytest.mark.filterwarnings("ignore:An input array is constant")
@pytest.mark.parametrize("predict", [tile_control_mean, draw_all_controls])
@pytest.mark.parametrize("seed", range(3))
def test_directions_agree_where_the_predicted_mean_is_the_controls(
    predict: Callable[[Case], FloatArray], seed: int
) -> None:
    case = random_case(seed, 8, 60, 40, 40)
    case = replace(case, predicted=predict(case))
    controls = case.real[case.labels == "non-targeting"].mean(axis=0)
    first = case.predicted[case.labels == case.perturbations[0]].mean(axis=0)
    np.testing.assert_allclose(first, controls, rtol=1e-14)
    assert differences(case)["direction_match"] == 0


def test_cases_have_infinite_fold_changes_and_perturbations_without_degs() -> None:
    case = random_case(1, *SHAPES[1])
    controls, perturbed = (case.real[(case.labels == "non-targeting") == side] for side in (True, False))
    assert not controls[:, 1].any()
    assert perturbed[:, 1].any()
    assert controls[:, 2].any()
    assert not perturbed[:, 2].any()
    assert not nothing_true_case(6, 8, 60, 30).target_mask[1].any()  # a combination


def test_leaving_the_target_out_is_what_makes_pds_agree() -> None:
    case = random_case(1, *SHAPES[1])
    is_control = case.labels == "non-targeting"
    real, predicted = case.real.copy(), np.tile(case.real[is_control].mean(axis=0), (len(case.labels), 1))
    predicted[is_control] = case.real[is_control]
    for row, name in enumerate(case.perturbations):  # a prediction that knows its target, and no more
        own_target = np.ix_(case.labels == name, case.target_mask[row])
        real[own_target] = predicted[own_target] = 6.5
    case = replace(case, real=real, predicted=predicted)
    predicted_delta, observed_delta = (
        np.stack([cells[case.labels == name].mean(axis=0) for name in case.perturbations])
        - cells[is_control].mean(axis=0)
        for cells in (predicted, real)
    )
    theirs = cell_eval_values(case)["pds_without_target_pooled"]
    np.testing.assert_allclose(pds(predicted_delta, observed_delta, case.target_mask), theirs, atol=TOLERANCE)
    assert (pds(predicted_delta, observed_delta) > theirs).any()
