from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.exhaustive import few_fast
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from adapert.study.engine.search import ConfigEnd
from adapert.study.plan.study import FixedRung, LearnedRung, Search
from benchmarks import search_quality
from benchmarks.search_quality import (
    Curve,
    Finished,
    Problem,
    branin,
    build_method,
    build_standard_problem,
    hartmann6,
    plot_regret,
    race_over_time,
    read_times,
    regret_over_time,
    resampled_shares,
    run_method,
    simulate,
    speed_ups,
    summarize_ranks,
    summarize_regret,
    summarize_speed_ups,
)


class Listed:
    """Suggests the values of a list, then zeros, and keeps what it is told."""

    def __init__(self, values: list[float]) -> None:
        self.values = values
        self.told: list[tuple[int, TrialState, float | None, int]] = []

    def suggest(self, number: int) -> dict[str, float]:
        return {"x": self.values[number] if number < len(self.values) else 0.0}

    def tell(self, number: int, end: ConfigEnd) -> None:
        self.told.append((number, end.state, end.value, end.epoch))


def straight_problem(max_epochs: int) -> Problem:
    """A config x reports x at every epoch, and is worth a tenth less."""
    return Problem(
        name="straight",
        space={"x": FloatDistribution(0, 1)},
        max_epochs=max_epochs,
        curve=lambda config, seed: Curve(np.full(max_epochs, config["x"]), config["x"] - 0.1),
        optimum=0.9,
        median=0.4,
    )


@pytest.fixture
def four_full_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_quality, "N_FULL_TRIALS", 4)


@pytest.mark.usefixtures("four_full_trials")
def test_clock_equals_an_example_by_hand() -> None:
    # Two workers, three epochs and one to start: trials end at 4 and 8, when the time is used up.
    suggestions = Listed([0.2, 0.4, 0.1, 0.8])
    plan = Search(space={}, first_rung=FixedRung(3))
    finished = simulate(straight_problem(3), plan, suggestions, seed=0, n_workers=2)
    horizon = straight_problem(3).horizon  # of four workers
    assert horizon == 4
    assert [(trial.time, trial.reported) for trial in finished] == [(4, 0.2), (4, 0.4)]
    assert suggestions.told == [(0, TrialState.COMPLETE, 0.2, 3), (1, TrialState.COMPLETE, 0.4, 3)]


@pytest.mark.usefixtures("four_full_trials")
def test_stopped_trials_free_their_worker_at_once() -> None:
    # One worker, ten epochs, a rung at 1: trial 0 is alone there and ends at 11, when the time is used up.
    # Two workers: trial 1 is decided behind trial 0 at time 2, trial 2 at 4, then trial 3 goes on.
    suggestions = Listed([0.5, 0.1, 0.2, 0.9])
    plan = Search(space={}, first_rung=FixedRung(1), reduction_factor=10)
    finished = simulate(straight_problem(10), plan, suggestions, seed=0, n_workers=2)
    assert [(number, state) for number, state, _, _ in suggestions.told] == [
        (1, TrialState.PRUNED),
        (2, TrialState.PRUNED),
        (0, TrialState.COMPLETE),
    ]
    assert [trial.time for trial in finished] == [11]


def test_a_first_rung_is_learned_from_the_first_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two workers, ten epochs: trials 0 to 3 end at 11 and 22; trial 4 was asked for before the last of them
    # ended. From then on a trial that is behind at epoch 1 ends there.
    monkeypatch.setattr(search_quality, "N_FULL_TRIALS", 16)
    suggestions = Listed([0.5, 0.6, 0.7, 0.8, 0.9, 0.4])
    plan = Search(space={}, first_rung=LearnedRung(n_trials=4))
    finished = simulate(straight_problem(10), plan, suggestions, seed=0, n_workers=2)
    assert [trial.time for trial in finished] == [11, 11, 22, 22, 33]
    pruned = [told for told in suggestions.told if told[1] == TrialState.PRUNED]
    assert pruned[:2] == [(5, TrialState.PRUNED, 0.4, 1), (6, TrialState.PRUNED, 0.0, 1)]
    assert len(pruned) == len(suggestions.told) - 5


def test_a_race_chooses_the_leader_of_best_mean_and_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Reports of the search flatter 0.2; two fresh seeds tell the truth, two rounds of four epochs later.
    def curve(config: Mapping[str, Any], seed: int) -> Curve:
        flattered = 0.9 if (seed, config["x"]) == (0, 0.2) else config["x"]
        return Curve(np.full(3, flattered), config["x"])

    problem = replace(straight_problem(3), curve=curve)
    finished = [
        Finished(time=0.25, reported=0.9, value=0.2, config={"x": 0.2}),
        Finished(time=0.5, reported=0.6, value=0.6, config={"x": 0.6}),
    ]
    monkeypatch.setattr(search_quality, "N_FULL_TRIALS", 16)
    regrets = race_over_time(problem, finished, seed=0)
    times = read_times() * problem.horizon / 16
    assert (regrets[times < 8.25] == 1).all()
    assert regrets[times >= 8.5] == pytest.approx(problem.regret(0.6))


def test_regret_is_one_for_the_median_and_nothing_for_the_optimum() -> None:
    problem = straight_problem(3)
    assert problem.regret(0.9) == pytest.approx(0)
    assert problem.regret(0.4) == pytest.approx(1)


@pytest.mark.usefixtures("four_full_trials")
def test_incumbent_is_the_finished_trial_of_best_report() -> None:
    problem = straight_problem(3)
    finished = [
        search_quality.Finished(time=1.0, reported=0.5, value=0.65),
        search_quality.Finished(time=2.0, reported=0.4, value=0.9),
        search_quality.Finished(time=3.0, reported=0.6, value=0.4),
    ]
    regrets = regret_over_time(problem, finished)
    by_time = dict(zip(read_times(), regrets, strict=True))
    assert [by_time[time] for time in (0.75, 1, 2, 3, 4)] == pytest.approx([1, 0.5, 0.5, 1, 1])


def test_speed_up_is_read_where_the_mean_stays_below_the_end_of_random(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_quality, "N_FULL_TRIALS", 2)  # times 0.25, 0.5, ..., 2
    random = np.array([[1.0, 1, 1, 1, 1, 1, 1, 0.5]])
    method = np.array([[0.5, 0.9, 0.9, 0.5, 0.4, 0.4, 0.4, 0.4]])
    assert speed_ups(method, random, np.ones((1, 1))) == pytest.approx([2 / 1])
    assert speed_ups(random, random, np.ones((1, 1))) == pytest.approx([1])
    assert speed_ups(random + 0.1, random, np.ones((1, 1))) == pytest.approx([1])


def test_resampled_shares_begin_with_the_sample_and_sum_to_one() -> None:
    shares = resampled_shares(5)
    assert shares[0] == pytest.approx(np.full(5, 0.2))
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(shares)))


def test_standard_functions_have_their_known_optima() -> None:
    assert branin(np.array([(np.pi + 5) / 15, 2.275 / 15])) == pytest.approx(-0.397887, abs=1e-5)
    best = np.array([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573])
    assert hartmann6(best) == pytest.approx(3.32237, abs=1e-4)


def test_standard_curves_rise_to_the_value_and_its_noise() -> None:
    problem = build_standard_problem("hartmann6", hartmann6, 6, 3.32237)
    config = {f"x{index}": 0.3 for index in range(6)}
    curve = problem.curve(config, 0)
    assert (np.diff(curve.reported) > 0).all()
    assert curve.reported[-1] == pytest.approx(curve.value, abs=0.1 * (problem.optimum - problem.median))
    assert np.array_equal(curve.reported, problem.curve(config, 0).reported)
    assert not np.array_equal(curve.reported, problem.curve(config, 1).reported)


@pytest.mark.parametrize("name", few_fast(("random", "qmc", "tpe+asha", "tpe+asha@1"), 2))
def test_a_search_repeats_by_its_seed(name: str) -> None:
    problem = build_standard_problem("branin", branin, 2, -0.397887, max_epochs=4)
    method = build_method(name)
    regrets = run_method(problem, method, n_seeds=2)
    assert np.array_equal(regrets, run_method(problem, method, n_seeds=2))
    assert not np.array_equal(regrets[0], regrets[1])
    assert (regrets[:, -1] < 1).all()


def test_summaries_rank_the_better_method_first_and_the_figure_names_both() -> None:
    n_times = len(read_times())
    good, poor = np.full((3, n_times), 0.1), np.full((3, n_times), 0.2)
    regrets = {"one": {"random": poor, "tpe+asha": good}, "two": {"random": poor, "tpe+asha": good}}
    ranks = summarize_ranks(regrets).set_index("method")["rank"]
    assert (ranks["tpe+asha"] == 1).all()
    assert (ranks["random"] == 2).all()
    speed = summarize_speed_ups(regrets).set_index(["method", "problem"])
    assert speed.loc[("tpe+asha", "geometric mean"), "speed_up"] == pytest.approx(256)
    figure = plot_regret(summarize_regret(regrets))
    assert [panel.get_title() for panel in figure.axes] == ["one", "two", ""]
    assert figure.axes[0].get_legend_handles_labels()[1] == ["random", "tpe+asha"]
