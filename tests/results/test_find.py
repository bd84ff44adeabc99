import re
from pathlib import Path

import pytest
from fixtures.ledger import MakeLedger
from fixtures.store import Store
from fixtures.trained import Trained

from adapert.config import Config
from adapert.errors import InputError
from adapert.results.find import find_studies, find_trial, is_study_name, open_beside, open_study
from adapert.tracking.read import study_run


def test_a_trial_is_found_by_its_number_and_by_its_run(trained: Trained) -> None:
    study, trial = find_trial(trained.workspace, "forms/002")
    assert (study.name, trial.name) == ("forms", "forms/002")
    for name in ("forms/2", trial.run_id):
        assert find_trial(trained.workspace, name)[1] == trial


def test_a_study_s_name_and_its_own_run_stand_for_its_best_finished_trial(trained: Trained) -> None:
    _, best = find_trial(trained.workspace, "forms")
    finished = [trained.study.trial(number) for number in ("001", "002", "004", "005")]
    assert best == max(finished, key=lambda trial: trial.objective)
    own = study_run(trained.uri, "forms").info.run_id
    assert find_trial(trained.workspace, own)[1] == best


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("froms/001", r"There is no study 'froms' in .*\. Did you mean 'forms'\? Launch one"),
        ("froms", r"There is no study 'froms' in .*\. Did you mean 'forms'\?"),
        ("forms/7", r"Study 'forms' has no trial '7'. It has '001', '002', '003', '004', '005' and 1 more"),
        ("0" * 32, f"The store has no run '{'0' * 32}'"),
    ],
)
def test_what_is_not_there_is_refused(trained: Trained, name: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        find_trial(trained.workspace, name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[/x]", "[/x]"),
        ("forms/", "forms/"),
        ("forms/001/x", "forms/001/x"),
        ("/001", "/001"),
        ("[/001", "[/001"),
        ("forms/1\n", r"forms/1\n"),
        (f"forms/{'x' * 200}", f"forms/{'x' * 14}..."),
    ],
)
def test_what_is_no_trial_s_name_is_not_cut_at_its_slash(trained: Trained, name: str, shown: str) -> None:
    with pytest.raises(InputError, match=rf"such as 'search/007', but it is '{re.escape(shown)}'\. "):
        find_trial(trained.workspace, name)


def test_a_workspace_without_a_study_says_so_and_gets_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no study 'any' in '.*'\. It has no study yet\. Launch one"):
        open_study(tmp_path, "any")
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_a_finished_trial_has_no_best(store: Store) -> None:
    with pytest.raises(InputError, match="best finished trial, but 'start_only' has none"):
        find_trial(store.directory, "start_only")


def test_only_a_plain_name_means_a_study() -> None:
    assert [is_study_name(name) for name in ("search", "search/007", "a" * 32)] == [True, False, False]


def test_a_config_is_found_in_the_ledgers_that_asked_for_it_the_oldest_first(
    make_ledger: MakeLedger, tmp_path: Path
) -> None:
    for name, begin in (("later", 2e9), ("earlier", 1e9), ("never", 1.0)):
        made = make_ledger(name, begin=begin)
        made.asked("001", changes={} if name == "never" else {"model.tau": 0.5})
    digest = Config().with_changes({"model.tau": 0.5}).digest()
    assert find_studies(tmp_path / "runs", digest) == ["earlier", "later"]


def test_a_config_that_no_ledger_has_is_looked_for_in_the_store(store: Store, tmp_path: Path) -> None:
    studies = find_studies(store.directory, "123456789012")
    assert studies[0] == "ablate_parts"
    assert {"vary_lambda", "search_wide"} <= set(studies)
    assert find_studies(store.directory, "000000000000") == []
    assert find_studies(tmp_path, "123456789012") == []
    assert list(tmp_path.iterdir()) == []


def test_another_study_is_read_from_where_one_was(store: Store, peers_workspace: Path) -> None:
    kept = open_study(peers_workspace, "peers")
    search = open_beside(kept, "peers_adapert")
    assert search is not None
    assert (search.name, search.design) == ("peers_adapert", "search")
    assert open_beside(kept, "peers_nobody") is None
    told = store.study("ablate_parts")
    other = open_beside(told, "search_wide")
    assert other is not None
    assert len(other.trials) == 1
    assert open_beside(told, "nothing") is None
