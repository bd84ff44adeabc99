import re
from pathlib import Path

import pytest
from mlflow.entities import Metric

import adapert.tracking.read
from adapert.errors import InputError
from adapert.tracking.read import find_studies, read_design, read_histories, read_trials, trial_runs


def test_trials_are_one_row_each_with_their_identity(store):
    trials = read_trials(store.uri, "ablate_parts")
    assert list(trials.columns[:6]) == ["run", "name", "variant", "seed", "status", "config_digest"]
    assert list(zip(trials["variant"], trials["seed"], trials["status"], strict=True)) == [
        ("full", 0, "finished"),
        ("full", 1, "finished"),
        ("no_context", 0, "finished"),
        ("no_context", 1, "finished"),
        ("no_non_deg", 0, "stopped"),
    ]


def test_trials_have_typed_config_and_last_metrics(store):
    trial = read_trials(store.uri, "vary_lambda").iloc[1]
    assert trial["loss.lambda_non"] == pytest.approx(0.001)
    assert trial["graph.top_k"] == 20
    assert not trial["model.self_loops"]  # the string "False" would be true
    assert trial["data.fingerprint"] == "0012"
    assert trial["config_digest"] == "123456789012"
    assert trial["best_pearson_delta"] == pytest.approx(0.4)


def test_histories_are_in_the_order_of_trials_and_epochs(store):
    histories = read_histories(store.uri, "ablate_parts", ["pearson_delta", "pds"])
    assert list(histories.columns) == ["run", "metric", "epoch", "value"]
    assert list(dict.fromkeys(histories["run"])) == read_trials(store.uri, "ablate_parts")["run"].tolist()
    first = histories[histories["run"] == histories["run"][0]]
    assert first[["metric", "epoch", "value"]].to_numpy().tolist() == [
        ["pearson_delta", 1, 0.3],
        ["pearson_delta", 2, 0.4],
    ]  # nobody tracked pds


def test_of_an_epoch_that_was_trained_twice_the_later_report_is_read(store, monkeypatch):
    class Client:
        def get_metric_history(self, run_id, key):
            return [Metric(key, value, timestamp, epoch) for value, timestamp, epoch in reports]

    reports = [(0.7, 9, 1), (0.3, 1, 1), (0.4, 2, 2)]
    runs = trial_runs(store.uri, "search_wide")
    monkeypatch.setattr(adapert.tracking.read, "trial_runs", lambda uri, study: runs)
    monkeypatch.setattr(adapert.tracking.read, "open_client", lambda uri: Client())
    histories = read_histories(store.uri, "search_wide", ["pearson_delta"])
    assert histories[["epoch", "value"]].to_numpy().tolist() == [[1, 0.7], [2, 0.4]]


def test_trials_beyond_one_page_are_read(store, monkeypatch):
    whole = read_trials(store.uri, "ablate_parts")
    monkeypatch.setattr(adapert.tracking.read, "_PAGE_SIZE", 2)
    assert read_trials(store.uri, "ablate_parts").equals(whole)


@pytest.mark.parametrize(
    ("study", "design"),
    [("ablate_parts", "ablation"), ("vary_lambda", "sensitivity"), ("search_wide", "search")],
)
def test_design_is_the_parents(store, study, design):
    assert read_design(store.uri, study) == design


def test_a_study_of_two_designs_is_refused(store):
    with pytest.raises(InputError, match="'two_designs' have 'ablation', 'search'"):
        read_design(store.uri, "two_designs")


@pytest.mark.parametrize("read", [read_trials, read_design])
def test_an_unknown_study_names_the_nearest_and_those_that_exist(store, read):
    with pytest.raises(
        InputError, match=r"no study 'ablate_part'\. Did you mean 'ablate_parts'\? .*'ablate_again'.*more\."
    ):
        read(store.uri, "ablate_part")


def test_a_store_that_does_not_exist_is_refused_and_not_created(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    with pytest.raises(InputError, match=re.escape(f"there is no file '{path}'")):
        read_trials(f"sqlite:///{path}", "any")
    assert not path.exists()


def test_a_config_is_found_in_the_studies_that_tried_it_the_oldest_first(store):
    studies = find_studies(store.uri, "123456789012")
    assert studies[0] == "ablate_parts"
    assert len(studies) == len(set(studies))
    assert {"vary_lambda", "search_wide"} <= set(studies)
    assert find_studies(store.uri, "000000000000") == []


def test_a_workspace_without_a_store_has_no_studies_and_gets_no_store(tmp_path):
    assert find_studies(f"sqlite:///{tmp_path}/mlflow.db", "123456789012") == []
    assert list(tmp_path.iterdir()) == []
