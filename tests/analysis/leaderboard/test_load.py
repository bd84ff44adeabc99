from pathlib import Path

import pytest

from adapert.results.find import open_study
from adapert.results.load import NothingToShowError
from analysis.leaderboard.load import (
    describe_systems,
    find_search,
    load_leaderboard,
    load_ranked,
    load_searches,
)


def test_splits_of_a_variant_are_its_rows(peers_workspace: Path) -> None:
    frame = load_leaderboard(open_study(peers_workspace, "peers"))
    tuned = frame[(frame["variant"] == "adapert:tuned") & (frame["metric"] == "pds")]
    replicates = tuned[["split_seed", "seed"]].drop_duplicates().sort_values(["split_seed", "seed"])
    assert replicates.to_numpy().tolist() == [[-1, 4], [-1, 5], [0, 4], [0, 5]]
    assert set(tuned["system"]) == {"adapert"}
    assert set(tuned["form"]) == {"tuned"}
    of_one_fit = frame[frame["variant"] == "kernel_ridge:tuned"]
    assert of_one_fit["run"].nunique() == 2


def test_a_system_is_described_by_its_config_and_its_search(peers_workspace: Path) -> None:
    study = open_study(peers_workspace, "peers")
    facts = describe_systems(study).set_index("variant")
    search = open_study(peers_workspace, "peers_kernel_ridge")
    assert facts.loc["kernel_ridge:tuned", "n_trials"] == 6
    assert facts.loc["kernel_ridge:default", "hours"] == pytest.approx(search.trial_hours)
    assert facts.loc["kernel_ridge:tuned", "reads"] == "network, text"
    assert facts["n_trials"].isna()["mean"]
    assert (facts.loc["mean", "form"], facts.loc["mean", "reads"], facts.loc["mean", "group"]) == (
        "", "nothing", "nothing",
    )  # fmt: skip


def test_searches_are_found_beside_the_comparison(peers_workspace: Path) -> None:
    trials = load_searches(open_study(peers_workspace, "peers"))
    assert trials.groupby("system")["number"].max().to_dict() == {"adapert": 6, "kernel_ridge": 6}


def test_a_comparison_without_its_searches_says_so(peers_workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "peers").symlink_to(peers_workspace / "studies" / "peers")
    study = open_study(tmp_path, "peers")
    with pytest.raises(NothingToShowError, match="such as 'peers_adapert', but none of them is there"):
        load_searches(study)
    assert describe_systems(study)["n_trials"].isna().all()


def test_searches_of_a_data_set_with_a_name_are_found_by_it(named_peers_workspace: Path) -> None:
    study = open_study(named_peers_workspace, "peers_k562")
    found = find_search(study, "adapert")
    assert found is not None
    assert (found[0].name, found[1]) == ("peers_k562_adapert", "k562")
    assert load_searches(study).groupby("system")["number"].max().to_dict() == {
        "adapert": 6,
        "kernel_ridge": 6,
    }
    assert find_search(study, "txpert") is None


def test_a_search_of_other_data_is_of_no_comparison(
    peers_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(peers_workspace, "peers")
    assert find_search(study, "adapert") is not None
    monkeypatch.setattr(study, "fingerprint", "0013")
    assert find_search(study, "adapert") is None


def test_rows_to_rank_are_of_the_tuned_forms_and_one_split(peers_workspace: Path) -> None:
    study = open_study(peers_workspace, "peers")
    assert set(load_ranked(study, "validation")["form"]) == {"tuned", ""}
    with pytest.raises(NothingToShowError, match="No run of study 'peers' has the split 'test'"):
        load_ranked(study, "test")
