import pytest
from fixtures.store import Store

from adapert.errors import InputError
from adapert.evaluation.catalogue import METRICS
from adapert.records import LONG_COLUMNS
from adapert.results.load import load_curves, load_per_perturbation, load_search


def test_long_table_holds_finished_trials_of_the_study_only(store: Store) -> None:
    table = load_per_perturbation(store.study("ablate_parts"))
    assert list(table.columns) == [*LONG_COLUMNS, "lambda_non", "non_deg_reduction"]
    assert set(table["variant"]) == {"full", "no_context"}
    assert set(table["study"]) == {"ablate_parts"}
    assert len(table) == 4 * 5 * 4


def test_lambda_comes_from_the_run(store: Store) -> None:
    table = load_per_perturbation(store.study("vary_lambda"))
    by_variant = table.groupby("variant")["lambda_non"].unique().map(list).to_dict()
    assert by_variant == {"lambda_non=0": [0.0], "lambda_non=0.001": [0.001]}
    assert set(table["non_deg_reduction"]) == {"sum"}


def test_trials_of_a_search_are_numbered_in_their_order(store: Store) -> None:
    trials = load_search(store.study("ablate_parts"))
    assert list(trials.columns[:8]) == [
        "study", "number", "run", "seed", "status", "reason", "epoch", "objective",
    ]  # fmt: skip
    assert trials["number"].tolist() == [1, 2, 3, 4, 5]
    assert set(trials["objective"]) == {0.4}
    assert set(trials["epoch"]) == {2.0}
    assert set(trials["graph.top_k"]) == {20}


def test_curves_have_a_row_an_epoch_and_trial(store: Store) -> None:
    curves = load_curves(store.study("search_wide"))
    assert curves[["number", "epoch", "value"]].to_numpy().tolist() == [[1, 1, 0.3], [1, 2, 0.4]]
    assert curves["objective"].tolist() == [0.4, 0.4]


def test_an_unknown_study_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match=r"no study 'ablate_part'\. Did you mean 'ablate_parts'"):
        load_per_perturbation(store.study("ablate_part"))


def test_a_study_without_a_finished_trial_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="'start_only' has none"):
        load_per_perturbation(store.study("start_only"))


def test_a_finished_trial_without_its_table_is_named(store: Store) -> None:
    with pytest.raises(InputError, match="A run's artifacts must be readable"):
        load_per_perturbation(store.study("lost_table"))


def test_a_table_of_other_columns_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="lacks 'split', 'value'"):
        load_per_perturbation(store.study("old_table"))


def test_a_metric_that_the_catalogue_lacks_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(METRICS, "rank_overlap_at_50")
    with pytest.raises(InputError, match=r"study 'ablate_parts' has 'rank_overlap_at_50'\. Did you"):
        load_per_perturbation(store.study("ablate_parts"))
