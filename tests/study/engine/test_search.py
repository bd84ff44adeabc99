import json
import math
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from fixtures.ledger import MakeLedger
from fixtures.narrowed import of_kind
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from scipy.stats.qmc import Sobol

from adapert.errors import InputError
from adapert.seeding import derive_seed
from adapert.study.engine.events import ConfigCompleted
from adapert.study.engine.ledger import read_identity
from adapert.study.engine.search import (
    JOURNAL_FILE,
    ConfigEnd,
    Owner,
    Suggestions,
    build_sampler,
    check_owner,
    open_storage,
    round_suggestion,
)
from adapert.study.plan.plans import Sampler
from adapert.study.plan.space import Conditional
from adapert.study.plan.study import Search

SPACE: dict[str, BaseDistribution | Conditional] = {
    "model.tau": FloatDistribution(0.1, 2.0, log=True),
    "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
}

CONDITIONAL_SPACE = SPACE | {
    "model.n_graph_layers": IntDistribution(0, 3),
    "loss.alignment": CategoricalDistribution(("frozen", "contrastive")),
    "loss.contrastive_temperature": Conditional(
        "loss.alignment", ("contrastive",), FloatDistribution(0.05, 0.5)
    ),
    "model.dropout": Conditional("model.n_graph_layers", (2, 3), FloatDistribution(0.0, 0.5, step=0.1)),
}

ENDS = {
    "complete": ConfigEnd(TrialState.COMPLETE, 0.4),
    "undefined": ConfigEnd(TrialState.COMPLETE, -math.inf),
    "pruned": ConfigEnd(TrialState.PRUNED, 0.25, epoch=3),
    "pruned without a value": ConfigEnd(TrialState.PRUNED),
    "infeasible": ConfigEnd(TrialState.PRUNED, is_infeasible=True),
    "failed": ConfigEnd(TrialState.FAIL),
}


def begin(plan: Search | None = None, storage: BaseStorage | None = None) -> Suggestions:
    return Suggestions(plan or Search(space=SPACE, seed=1), "try", storage or InMemoryStorage())


def as_data(trials: list[FrozenTrial]) -> list[tuple[object, ...]]:
    return [
        (trial.number, trial.state, trial.values, trial.params, trial.intermediate_values, trial.constraints)
        for trial in trials
    ]


@pytest.mark.parametrize(
    ("end", "value", "intermediate_values", "constraints"),
    [
        ("complete", 0.4, {}, {}),
        ("undefined", -math.inf, {}, {}),
        ("pruned", 0.25, {3: 0.25}, {}),
        ("pruned without a value", None, {}, {}),
        ("infeasible", None, {}, {"memory": 1.0}),
        ("failed", None, {}, {}),
    ],
)
def test_optuna_hears_how_a_config_ended(
    end: str, value: float | None, intermediate_values: dict[int, float], constraints: dict[str, float]
) -> None:
    suggestions = begin()
    suggestions.suggest(0)
    suggestions.tell(0, ENDS[end])
    (trial,) = suggestions.trials
    assert (trial.state, trial.value) == (ENDS[end].state, value)
    assert (trial.intermediate_values, trial.constraints) == (intermediate_values, constraints)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_that_is_put_back_is_as_it_was_told(end: ConfigEnd) -> None:
    told, put_back = begin(), begin()
    suggested = told.suggest(0)
    told.tell(0, end)
    put_back.restore(0, suggested, end)
    assert as_data(put_back.trials) == as_data(told.trials)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_is_read_from_a_ledger_as_it_was_written(end: ConfigEnd) -> None:
    line = end.to_line(0)
    assert ConfigEnd.from_line(ConfigCompleted.model_validate_json(line.model_dump_json())) == end


def test_configs_that_stay_open_have_failed_and_ended_ones_stay_as_they_are() -> None:
    suggestions = begin()
    for number in range(3):
        suggestions.suggest(number)
    suggestions.tell(1, ENDS["complete"])
    suggestions.close()
    states = [trial.state for trial in suggestions.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL]


def test_suggestions_are_of_the_space_under_dotted_names() -> None:
    suggested = begin().suggest(0)
    assert list(suggested) == list(SPACE)
    assert 0.1 <= suggested["model.tau"] <= 2.0
    assert suggested["graph.top_k"] in (5, 10, 20, 50)


@pytest.mark.parametrize("sampler", ["tpe", "random", "quasi_random"])
def test_a_field_is_suggested_only_where_its_condition_holds(sampler: Sampler) -> None:
    suggestions = begin(Search(space=CONDITIONAL_SPACE, sampler=sampler, n_startup=3, seed=2))
    n_varied = 0
    for number in range(20):
        suggested = suggestions.suggest(number)
        is_contrastive = suggested["loss.alignment"] == "contrastive"
        assert ("loss.contrastive_temperature" in suggested) == is_contrastive
        assert ("model.dropout" in suggested) == (suggested["model.n_graph_layers"] >= 2)
        suggestions.tell(number, ConfigEnd(TrialState.COMPLETE, suggested["model.tau"]))
        n_varied += is_contrastive
    assert 0 < n_varied < 20


def test_initial_points_come_first_and_what_they_leave_out_is_drawn() -> None:
    points: tuple[dict[str, Any], ...] = ({"model.tau": 0.5, "graph.top_k": 50}, {"graph.top_k": 5}, {})
    suggestions = begin(Search(space=SPACE, initial_points=points, seed=1))
    first, second, third, fourth = (suggestions.suggest(number) for number in range(4))
    assert first == points[0]
    assert second["graph.top_k"] == 5
    assert list(second) == list(third) == list(fourth) == list(SPACE)


def worth(suggested: dict[str, Any]) -> ConfigEnd:
    """All kinds of ends, by what was suggested."""
    if suggested["graph.top_k"] == 50:
        return ENDS["infeasible"]
    if suggested["model.tau"] > 1.5:
        return ENDS["failed"]
    value = -abs(suggested["model.tau"] - 0.7)
    if suggested["model.tau"] < 0.2:
        return ConfigEnd(TrialState.PRUNED, value, epoch=2)
    return ConfigEnd(TrialState.COMPLETE, value)


def ask_and_tell(
    suggestions: Suggestions,
    n_configs: int,
    n_open: int,
    asked: list[dict[str, Any]],
    told: list[ConfigEnd],
    stop_after: float = math.inf,
) -> list[dict[str, Any]]:
    """Go on, with a few configs open at a time; `asked` and `told` are what was done before, and grow."""
    while len(told) < n_configs and len(asked) + len(told) < stop_after:
        if len(asked) < n_configs and len(asked) - len(told) < n_open:
            asked.append(suggestions.suggest(len(asked)))
        else:
            number = len(told)
            told.append(worth(asked[number]))
            suggestions.tell(number, told[number])
    return asked


PLANS = {
    "tpe": Search(space=SPACE, n_startup=3, seed=3),
    "random": Search(space=SPACE, sampler="random", seed=3),
    "conditional": Search(space=CONDITIONAL_SPACE, n_startup=3, seed=3),
    "quasi_random": Search(kind="importance", space=CONDITIONAL_SPACE, sampler="quasi_random", seed=3),
    "points": Search(
        space=CONDITIONAL_SPACE,
        n_startup=0,
        initial_points=({"model.tau": 0.5}, {"graph.top_k": 5}, {"loss.alignment": "contrastive"}),
    ),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_suggestions_after_any_break_are_those_of_an_unbroken_sampler(plan: Search) -> None:
    n_configs, n_open = 8, 3
    unbroken = begin(plan)
    expected = ask_and_tell(unbroken, n_configs, n_open, [], [])
    for stop_after in range(2 * n_configs):
        asked: list[dict[str, Any]] = []
        told: list[ConfigEnd] = []
        ask_and_tell(begin(plan), n_configs, n_open, asked, told, stop_after)
        again = begin(plan)
        for number, suggested in enumerate(json.loads(json.dumps(asked))):
            again.restore(number, suggested, told[number] if number < len(told) else None)
        assert ask_and_tell(again, n_configs, n_open, asked, told) == expected
        assert as_data(again.trials) == as_data(unbroken.trials)


@pytest.mark.parametrize("sampler", ["tpe", "random", "quasi_random"])
def test_the_same_seed_suggests_the_same_configs_in_the_same_order(sampler: Sampler) -> None:
    def suggested(seed: int) -> list[dict[str, float]]:
        plan = Search(space=SPACE, sampler=sampler, seed=seed, n_startup=3)
        return ask_and_tell(begin(plan), 8, 1, [], [])

    assert suggested(3) == suggested(3)
    assert suggested(4) != suggested(3)


@pytest.mark.parametrize("seed", range(3))
def test_the_estimator_learns_to_avoid_configs_that_need_too_much_memory(seed: int) -> None:
    space = {"model.hidden_size": FloatDistribution(0.0, 2.0)}
    suggestions = begin(Search(space=space, n_startup=4, seed=seed))
    is_infeasible = []
    for number in range(40):
        size = suggestions.suggest(number)["model.hidden_size"]
        is_infeasible.append(size > 1)
        fits = ConfigEnd(TrialState.COMPLETE, -abs(size - 0.5))
        suggestions.tell(number, ENDS["infeasible"] if size > 1 else fits)
    assert sum(is_infeasible[:10]) >= 2
    assert sum(is_infeasible[20:]) <= 5


def test_samplers_are_what_the_plan_says_with_pinned_options() -> None:
    assert isinstance(build_sampler(Search(space=SPACE, sampler="random"), 0), RandomSampler)
    tpe = build_sampler(Search(space=SPACE, n_startup=7), 0)
    assert isinstance(tpe, TPESampler)
    assert (tpe._multivariate, tpe._constant_liar, tpe._group, tpe._n_startup_trials) == (
        True,
        True,
        False,
        7,
    )


def test_quasi_random_configs_are_the_points_of_one_scrambled_sobol_sequence() -> None:
    plan = Search(kind="importance", space=SPACE, sampler="quasi_random", seed=7)
    suggestions = begin(plan)
    suggested = [suggestions.suggest(number) for number in range(16)]  # all at once: none has ended
    seed = derive_seed(7, "quasi-random") % 2**32
    points = Sobol(2, scramble=True, seed=seed).random(16)
    # The fields by name: graph.top_k, then model.tau on its logarithmic scale.
    assert [each["graph.top_k"] for each in suggested] == [(5, 10, 20, 50)[int(4 * u)] for u, _ in points]
    assert [each["model.tau"] for each in suggested] == pytest.approx([0.1 * 20**v for _, v in points])
    assert Counter(each["graph.top_k"] for each in suggested) == {5: 4, 10: 4, 20: 4, 50: 4}
    assert len({each["model.tau"] for each in suggested}) == 16


def test_the_order_of_the_fields_does_not_move_quasi_random_points() -> None:
    def first(space: dict[str, Any]) -> dict[str, float]:
        return begin(Search(kind="importance", space=space, sampler="quasi_random")).suggest(0)

    assert first(SPACE) == first(dict(reversed(SPACE.items())))


def test_quasi_random_points_come_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        suggestions = begin(Search(kind="importance", space=CONDITIONAL_SPACE, sampler="quasi_random"))
        for number in range(3):
            suggestions.suggest(number)


def test_a_conditional_space_is_sampled_in_groups_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert of_kind(TPESampler, build_sampler(Search(space=CONDITIONAL_SPACE), 0))._group


@pytest.mark.parametrize(("n_trials", "n_startup"), [(3, 4), (16, 5), (30, 10), (300, 10)])
def test_a_third_of_the_trials_are_random_at_first_within_bounds(n_trials: int, n_startup: int) -> None:
    sampler = build_sampler(Search(space=SPACE, n_trials=n_trials), 0)
    assert of_kind(TPESampler, sampler)._n_startup_trials == n_startup


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.123456, 0.1235), (1.23456e-7, 1.235e-7), (2e4, 2e4)],
)
def test_a_suggestion_keeps_four_digits_where_it_is_a_fraction(value: float, rounded: float) -> None:
    assert round_suggestion(value, FloatDistribution(0, 1e5)) == rounded


@pytest.mark.parametrize("value", [12345, True])
def test_a_suggestion_that_is_no_fraction_stays_as_it_is(value: int) -> None:
    assert round_suggestion(value, CategoricalDistribution((12345, True))) is value


def test_a_rounded_suggestion_stays_within_its_bounds() -> None:
    assert round_suggestion(0.99998, FloatDistribution(0, 0.99999)) == 0.99998


def test_another_workspace_s_study_in_the_same_storage_is_never_replaced() -> None:
    storage = InMemoryStorage()
    Suggestions(Search(space=SPACE), "try", storage, Owner("/one", "1")).suggest(0)
    with pytest.raises(InputError, match=r"'try' there is of '/one'\. Launch it under another --name"):
        Suggestions(Search(space=SPACE), "try", storage, Owner("/other", "2"))
    assert Suggestions(Search(space=SPACE), "try", storage, Owner("/one", "1")).trials == []


def owner_of(folder: Path) -> Owner:
    return Owner(str(folder), read_identity(folder))


def test_a_study_whose_folder_was_moved_keeps_its_place_in_a_shared_storage(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    storage, before = InMemoryStorage(), make_ledger().folder
    Suggestions(Search(space=SPACE), "try", storage, owner_of(before)).suggest(0)
    moved = before.rename(tmp_path / "moved")
    for _ in range(2):
        assert Suggestions(Search(space=SPACE), "try", storage, owner_of(moved)).trials == []


def test_a_copy_never_replaces_its_original_in_a_shared_storage(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    storage, original = InMemoryStorage(), make_ledger().folder
    Suggestions(Search(space=SPACE), "try", storage, owner_of(original)).suggest(0)
    copied = shutil.copytree(original, tmp_path / "copied")
    with pytest.raises(InputError, match=f"there is of '{original}'"):
        check_owner("try", storage, owner_of(copied))
    check_owner("try", storage, owner_of(original))


def test_of_copies_whose_original_is_gone_the_first_takes_its_place(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    storage, original = InMemoryStorage(), make_ledger().folder
    Suggestions(Search(space=SPACE), "try", storage, owner_of(original))
    copies = [shutil.copytree(original, tmp_path / name) for name in ("first", "second")]
    shutil.rmtree(original)
    Suggestions(Search(space=SPACE), "try", storage, owner_of(copies[0]))
    with pytest.raises(InputError, match=r"there is of '.*first'"):
        check_owner("try", storage, owner_of(copies[1]))


# Storages


def test_without_an_address_optuna_s_storage_is_a_journal_in_the_folder(tmp_path: Path) -> None:
    suggestions = begin(storage=open_storage("", tmp_path))
    suggested = suggestions.suggest(0)
    suggestions.tell(0, ENDS["complete"])
    read = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL_FILE)))
    (trial,) = optuna.load_study(study_name="try", storage=read).trials
    assert (trial.params, trial.value) == (suggested, 0.4)


def test_a_database_is_optuna_s_storage_where_it_is_named(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage = open_storage(address, tmp_path)
    assert isinstance(storage, RDBStorage)
    plan = PLANS["conditional"]
    asked: list[dict[str, Any]] = []
    told: list[ConfigEnd] = []
    ask_and_tell(begin(plan, storage), 4, 2, asked, told, stop_after=6)
    # As the next process does: the study is begun again from the ledger.
    again = begin(plan, open_storage(address, tmp_path))
    for number, suggested in enumerate(asked):
        again.restore(number, suggested, told[number] if number < len(told) else None)
    in_memory = begin(plan)
    assert ask_and_tell(again, 4, 2, asked, told) == ask_and_tell(in_memory, 4, 2, [], [])
    (summary,) = optuna.get_all_study_summaries(address)
    assert summary.n_trials == 4
    assert as_data(again.trials) == as_data(in_memory.trials)


def test_a_journal_that_a_killed_process_left_torn_and_locked_is_opened(tmp_path: Path) -> None:
    journal = tmp_path / JOURNAL_FILE
    begin(storage=open_storage("", tmp_path)).suggest(0)
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    lock = JournalFileSymlinkLock(str(journal))
    assert lock.acquire()
    (tmp_path / f"{JOURNAL_FILE}.lock.rename-abc").touch()
    (tmp_path / "ledger.jsonl").touch()
    suggestions = begin(storage=open_storage("", tmp_path))
    assert suggestions.trials == []
    assert suggestions.suggest(0) == begin().suggest(0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ledger.jsonl", JOURNAL_FILE]


def test_other_studies_of_a_database_stay(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}", tmp_path)
    optuna.create_study(study_name="other", storage=storage)
    begin(storage=storage)
    begin(storage=storage)
    assert sorted(optuna.get_all_study_names(storage)) == ["other", "try"]
