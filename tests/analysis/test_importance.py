from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import of_kind
from fixtures.store import Store
from matplotlib.patches import Rectangle
from scipy.stats import sobol_indices, uniform
from scipy.stats.qmc import Sobol

from adapert.errors import InputError
from adapert.records import OBJECTIVE
from adapert.results.load import NothingToShowError
from adapert.seeding import numpy_generator
from adapert.statistics.variance_shares import build_parts, orthonormal_basis, sample_variances
from analysis.figures.importance import plot_importance
from analysis.importance import (
    LEAST_CONFIGS,
    MAIN,
    PAIR,
    REST,
    check_design,
    field_positions,
    load_importance,
    summarize_importance,
)
from benchmarks.importance import FIELDS, FUNCTIONS, draw_trials, known_shares, sobol_g

NOISE = 0.2


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("adapert.statistics.variance_shares.N_SWEEPS", 400)
        patched.setattr("adapert.statistics.variance_shares.N_BURNED", 100)
        yield


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return draw_trials(FUNCTIONS["pairs"], NOISE, seed=1)


@pytest.fixture(scope="module")
def summary(trials: pd.DataFrame) -> pd.DataFrame:
    return summarize_importance(trials)


@pytest.mark.parametrize("name", ["pairs", "Ishigami", "Sobol g"])
def test_the_analytic_variances_are_those_of_scipy(name: str) -> None:
    function = FUNCTIONS[name]
    found = sobol_indices(
        func=lambda x: function.evaluate(x.T), n=2**12, dists=[uniform()] * len(FIELDS), rng=0
    )
    own = [function.variances.get((index,), 0.0) / function.variance for index in range(len(FIELDS))]
    assert found.first_order == pytest.approx(own, abs=0.03)


def test_noise_free_shares_are_those_of_scipy() -> None:
    function = FUNCTIONS["additive"]
    found = sobol_indices(
        func=lambda x: function.evaluate(x.T), n=2**12, dists=[uniform()] * len(FIELDS), rng=0
    )
    summary = summarize_importance(draw_trials(function, 0.0, seed=2))
    own = summary[summary["kind"] == MAIN].set_index("field").loc[list(FIELDS), "importance"]
    assert own.to_numpy() == pytest.approx(found.first_order, abs=0.03)


@pytest.mark.parametrize(("name", "seed"), [("pairs", 0), ("cliff", 0)])
def test_intervals_cover_the_analytic_shares(name: str, seed: int) -> None:
    summary = summarize_importance(draw_trials(FUNCTIONS[name], NOISE, seed), FIELDS)
    truth = known_shares(FUNCTIONS[name], NOISE, summary)
    is_covered = (summary["low"] <= truth + 1e-12) & (truth <= summary["high"])
    assert is_covered.sum() >= len(summary) - 2  # of 22 intervals one in twenty may miss
    assert summary["importance"].to_numpy() == pytest.approx(truth, abs=0.12)


def test_noise_alone_is_given_to_no_field() -> None:
    summary = summarize_importance(draw_trials(FUNCTIONS["no effect"], NOISE, seed=0), FIELDS)
    parts = summary[summary["kind"] != REST]
    assert (parts["low"] > 0).sum() <= 1
    assert summary["importance"].iloc[-1] > 0.7


def test_all_shares_sum_to_one_and_lie_in_their_intervals(summary: pd.DataFrame) -> None:
    assert summary["importance"].sum() == pytest.approx(1)
    assert (summary["low"] <= summary["importance"] + 1e-12).all()
    assert (summary["importance"] <= summary["high"]).all()
    assert summary["probability"].between(0, 1).all()


def test_the_strongest_field_and_pair_lead_their_kind(summary: pd.DataFrame) -> None:
    assert list(summary["kind"]) == [MAIN] * 6 + [PAIR] * 15 + [REST]
    assert summary.loc[0, "field"] == "loss.lambda_non"
    assert set(summary.loc[6, ["field", "other"]]) == {"loss.lambda_non", "loss.lambda_align"}


def test_the_same_seed_gives_the_same_estimates(trials: pd.DataFrame, summary: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(summarize_importance(trials), summary)


def test_the_scale_of_a_field_and_the_unit_of_the_metric_change_nothing(
    trials: pd.DataFrame, summary: pd.DataFrame
) -> None:
    scaled = trials.assign(**{OBJECTIVE: 3 - 5 * trials[OBJECTIVE]})
    scaled["model.tau"] = np.exp(9 * trials["model.tau"])
    again = summarize_importance(scaled)
    assert again["importance"].to_numpy() == pytest.approx(summary["importance"].to_numpy(), abs=0.02)


def test_unfinished_trials_are_left_out_and_counted(trials: pd.DataFrame) -> None:
    mixed = trials.copy()
    mixed.loc[:9, "status"] = "failed"
    mixed.loc[10, OBJECTIVE] = -np.inf
    summary = summarize_importance(mixed)
    assert set(summary["n_configs"]) == {117}
    assert set(summary["n_left_out"]) == {11}


def test_the_seeds_of_a_config_are_averaged(trials: pd.DataFrame) -> None:
    up, down = (trials.assign(**{OBJECTIVE: trials[OBJECTIVE] + shift}) for shift in (0.5, -0.5))
    both = summarize_importance(pd.concat([up, down], ignore_index=True))
    alone = summarize_importance(trials)
    assert both["importance"].to_numpy() == pytest.approx(alone["importance"].to_numpy(), abs=0.02)
    assert both["n_configs"].iloc[0] == len(trials)


def test_too_few_configs_are_refused(trials: pd.DataFrame) -> None:
    with pytest.raises(NothingToShowError, match=rf"at least {LEAST_CONFIGS} finished configs.*extend it"):
        summarize_importance(trials.head(LEAST_CONFIGS - 1))


@pytest.mark.parametrize("design", ["search", "ablation"])
def test_trials_of_another_design_are_refused_with_the_reason(design: str) -> None:
    reason = "only learns faster" if design == "search" else "chosen by hand"
    with pytest.raises(InputError, match=rf"{reason}.*Launch a study with `adapert launch importance`"):
        check_design(design, "try")


def test_trials_of_a_search_are_refused_when_loaded(store: Store) -> None:
    with pytest.raises(InputError, match="'search_wide' has no such trials: a search's sampler"):
        load_importance(store.study("search_wide"))


def test_a_basis_is_orthonormal_over_the_trials() -> None:
    positions = Sobol(1, rng=0).random(64)[:, 0]
    basis = orthonormal_basis(positions)
    assert basis.T @ basis / 64 == pytest.approx(np.eye(8), abs=1e-9)
    assert basis.mean(axis=0) == pytest.approx(np.zeros(8), abs=1e-9)


def test_a_choice_of_four_has_three_contrasts_and_a_range_its_ranks() -> None:
    values = pd.Series([5, 10, 20, 50] * 3)
    assert sorted(set(field_positions(values))) == [0.125, 0.375, 0.625, 0.875]
    assert orthonormal_basis(field_positions(values)).shape == (12, 3)
    assert list(field_positions(pd.Series(np.geomspace(1e-5, 1, 10)))) == pytest.approx(
        np.arange(0.05, 1, 0.1)
    )


def test_a_known_polynomial_is_found_to_the_digit() -> None:
    positions = Sobol(2, rng=0).random(64)
    first, second = orthonormal_basis(positions[:, 0])[:, 0], orthonormal_basis(positions[:, 1])[:, 1]
    parts = build_parts(positions, [True, True])
    variances, rest = sample_variances(parts, 0.8 * first + 0.6 * second, numpy_generator(0, "test"))
    total = np.var(0.8 * first + 0.6 * second)
    assert variances.mean(axis=0) == pytest.approx(np.array([0.64, 0.36, 0]) / total, abs=0.01)
    assert rest.mean() < 0.01


def test_the_parts_of_g_leave_the_higher_orders_to_the_rest() -> None:
    function = sobol_g()
    assert 0 < 1 - sum(function.variances.values()) / function.variance < 0.02


def test_the_figure_draws_fields_the_strongest_pairs_and_the_rest(summary: pd.DataFrame) -> None:
    (axes,) = plot_importance(summary).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 6 + 6 + 1
    assert labels[0] == r"$\lambda_{\mathrm{non}}$"
    assert labels[-1] == "noise and higher order"
    assert axes.get_xlabel() == "share of the variance between configs"
    widths = [of_kind(Rectangle, bar).get_width() for bar in axes.patches]
    assert widths[:6] == pytest.approx(list(summary["importance"])[:6])
