import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from adapert.study.engine.rungs import Rungs
from adapert.study.engine.search import ConfigEnd
from benchmarks import search_quality
from benchmarks.search_quality import (
    Curve,
    Problem,
    branin,
    build_method,
    build_standard_problem,
    hartmann6,
    plot_regret,
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
    finished = simulate(straight_problem(3), suggestions, None, seed=0, n_workers=2)
    horizon = straight_problem(3).horizon  # of four workers
    assert horizon == 4
    assert [(trial.time, trial.reported) for trial in finished] == [(4, 0.2), (4, 0.4)]
    assert suggestions.told == [(0, TrialState.COMPLETE, 0.2, 3), (1, TrialState.COMPLETE, 0.4, 3)]


@pytest.mark.usefixtures("four_full_trials")
def test_stopped_trials_free_their_worker_at_once() -> None:
    # One worker, ten epochs, a rung at 1: trial 0 is alone there and ends at 11, when the time is used up.
    # Two workers: trial 1 is decided behind trial 0 at time 2, trial 2 at 4, then trial 3 goes on.
    suggestions = Listed([0.5, 0.1, 0.2, 0.9])
    rungs = Rungs(1, 10, 10)
    finished = simulate(straight_problem(10), suggestions, rungs, seed=0, n_workers=2)
    assert [(number, state) for number, state, _, _ in suggestions.told] == [
        (1, TrialState.PRUNED),
        (2, TrialState.PRUNED),
        (0, TrialState.COMPLETE),
    ]
    assert [trial.time for trial in finished] == [11]


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


@pytest.mark.parametrize("name", ["random", "qmc", "tpe+asha"])
def test_a_search_repeats_by_its_seed(name: str) -> None:
    problem = build_standard_problem("branin", branin, 2, -0.397887, max_epochs=4)
    method = build_method(name, min_epochs=1)
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
