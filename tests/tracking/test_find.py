import pytest

from adapert.errors import InputError
from adapert.records import Tag
from adapert.tracking.find import find_trial, is_study_name, name_of
from adapert.tracking.read import study_run


def test_a_trial_is_found_by_its_number_and_by_its_run(trained):
    run = find_trial(trained.uri, "forms/002")
    assert (run.data.tags[Tag.TRIAL], name_of(run)) == ("002", "forms/002")
    assert find_trial(trained.uri, "forms/2").info.run_id == run.info.run_id
    assert find_trial(trained.uri, run.info.run_id).info.run_id == run.info.run_id


def test_a_study_s_name_and_its_own_run_stand_for_its_best_finished_trial(trained):
    best = find_trial(trained.uri, "forms")
    finished = [find_trial(trained.uri, f"forms/{trial}") for trial in ("001", "002", "004", "005")]
    expected = max(finished, key=lambda run: run.data.metrics["best_pearson_delta"])
    assert best.info.run_id == expected.info.run_id
    own = study_run(trained.uri, "forms").info.run_id
    assert find_trial(trained.uri, own).info.run_id == best.info.run_id


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("froms/001", "There is no study 'froms'. Did you mean 'forms'?"),
        ("froms", "There is no study 'froms'. Did you mean 'forms'?"),
        ("forms/7", r"Study 'forms' has no trial '7'. It has '001', '002', '003', '004', '005' and 1 more"),
        ("0" * 32, f"The store has no run '{'0' * 32}'"),
    ],
)
def test_what_is_not_there_is_refused(trained, name, match):
    with pytest.raises(InputError, match=match):
        find_trial(trained.uri, name)


def test_a_study_without_a_finished_trial_has_no_best(store):
    with pytest.raises(InputError, match="best finished trial, but 'start_only' has none"):
        find_trial(store.uri, "start_only")


def test_only_a_plain_name_means_a_study():
    assert [is_study_name(name) for name in ("search", "search/007", "a" * 32)] == [True, False, False]
