import pytest
from fixtures.store import Store
from mlflow.entities import Metric

import adapert.tracking.read
from adapert.errors import InputError
from adapert.results import tracked


def test_trials_are_one_row_each_with_their_identity(store: Store) -> None:
    trials = store.study("ablate_parts").frame
    assert list(trials.columns[:6]) == ["run", "trial", "variant", "seed", "status", "config_digest"]
    assert list(zip(trials["variant"], trials["seed"], trials["status"], strict=True)) == [
        ("full", 0, "finished"),
        ("full", 1, "finished"),
        ("no_context", 0, "finished"),
        ("no_context", 1, "finished"),
        ("no_non_deg", 0, "stopped"),
    ]


def test_trials_have_typed_config_and_last_metrics(store: Store) -> None:
    trial = store.study("vary_lambda").frame.iloc[1]
    assert trial["loss.lambda_non"] == pytest.approx(0.001)
    assert trial["graph.top_k"] == 20
    assert not trial["model.self_loops"]  # the string "False" would be true
    assert trial["data.fingerprint"] == "0012"
    assert trial["config_digest"] == "123456789012"
    assert trial["best_pearson_delta"] == pytest.approx(0.4)


def test_histories_are_in_the_order_of_trials_and_epochs(store: Store) -> None:
    study = store.study("ablate_parts")
    histories = study.read_histories(["pearson_delta", "pds"])
    assert list(histories.columns) == ["run", "metric", "epoch", "value"]
    assert list(dict.fromkeys(histories["run"])) == study.frame["run"].tolist()
    first = histories[histories["run"] == histories["run"][0]]
    assert first[["metric", "epoch", "value"]].to_numpy().tolist() == [
        ["pearson_delta", 1, 0.3],
        ["pearson_delta", 2, 0.4],
    ]  # nobody tracked pds


def test_of_an_epoch_that_was_trained_twice_the_later_report_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
            return [Metric(key, value, timestamp, epoch) for value, timestamp, epoch in reports]

    reports = [(0.7, 9, 1), (0.3, 1, 1), (0.4, 2, 2)]
    study = store.study("search_wide")
    assert study.trials
    monkeypatch.setattr(tracked, "open_client", lambda uri: Client())
    histories = study.read_histories(["pearson_delta"])
    assert histories[["epoch", "value"]].to_numpy().tolist() == [[1, 0.7], [2, 0.4]]


def test_trials_beyond_one_page_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = store.study("ablate_parts").frame
    monkeypatch.setattr(adapert.tracking.read, "PAGE_SIZE", 2)
    assert store.study("ablate_parts").frame.equals(whole)


@pytest.mark.parametrize(
    ("study", "design"),
    [("ablate_parts", "ablation"), ("vary_lambda", "sensitivity"), ("search_wide", "search")],
)
def test_design_is_the_parents(store: Store, study: str, design: str) -> None:
    assert store.study(study).design == design


def test_a_study_of_two_designs_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="'two_designs' have 'ablation', 'search'"):
        store.study("two_designs").design  # noqa: B018


def test_a_study_without_a_ledger_here_advises_no_command_that_needs_one(store: Store) -> None:
    assert "adapert" not in store.study("search_wide").how_to_finish


def test_an_unknown_study_names_the_nearest_and_those_that_exist(store: Store) -> None:
    with pytest.raises(
        InputError, match=r"no study 'ablate_part'\. Did you mean 'ablate_parts'\? .*'ablate_again'.*more\."
    ):
        store.study("ablate_part")
