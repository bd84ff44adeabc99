"""The workspace's ledger and MLflow tell the same of a study."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from fixtures.trained import Trained

from adapert.errors import InputError
from adapert.records import CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE
from adapert.results.find import open_study
from adapert.results.ledger import LedgerResults
from adapert.results.load import load_curves, load_per_perturbation, load_search
from adapert.results.study import StudyResults
from adapert.results.tracked import TrackedResults
from adapert.tracking.store import DATABASE


def test_trials_are_the_same_frame_from_both_readers(trained: Trained) -> None:
    pd.testing.assert_frame_equal(trained.study.frame, trained.tracked.frame, check_exact=True)
    assert trained.study.frame["run"].tolist() == [f"forms/00{number}" for number in range(1, 7)]


@pytest.mark.parametrize("load", [load_per_perturbation, load_search, load_curves])
def test_what_figures_are_made_of_is_the_same_from_both_readers(
    trained: Trained, load: Callable[[StudyResults], pd.DataFrame]
) -> None:
    pd.testing.assert_frame_equal(load(trained.study), load(trained.tracked), check_exact=True)


def test_histories_are_the_same_from_both_readers(trained: Trained) -> None:
    metrics = ["pearson_delta", "best_retrieval", "seconds", "never_reported"]
    of_ledger = trained.study.read_histories(metrics)
    pd.testing.assert_frame_equal(of_ledger, trained.tracked.read_histories(metrics), check_exact=True)
    assert len(of_ledger)


@pytest.mark.parametrize(
    "attribute",
    ["name", "design", "question", "fingerprint", "git_commit", "packages", "origin", "status", "run_id"],
)
def test_a_study_is_the_same_from_both_readers(trained: Trained, attribute: str) -> None:
    assert getattr(trained.study, attribute) == getattr(trained.tracked, attribute)


def test_costs_and_times_are_the_same_from_both_readers(trained: Trained) -> None:
    study, tracked = trained.study, trained.tracked
    assert study.started_at == pytest.approx(tracked.started_at, abs=1e-3)
    assert (study.trial_hours, study.wall_seconds) == pytest.approx(
        (tracked.trial_hours, tracked.wall_seconds)
    )


@pytest.mark.parametrize("name", [CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE])
def test_a_trial_s_files_are_the_same_from_both_readers(trained: Trained, name: str) -> None:
    study, tracked = trained.study, trained.tracked
    with study.file(study.trial("001"), name) as one, tracked.file(tracked.trial("1"), name) as other:
        assert one != other
        assert one.read_bytes() == other.read_bytes()


def test_the_workspace_s_ledger_is_read_where_it_has_one(trained: Trained, tmp_path: Path) -> None:
    assert isinstance(open_study(trained.workspace, "forms"), LedgerResults)
    elsewhere = tmp_path / "runs"
    elsewhere.mkdir()
    (elsewhere / "tracking_uri").write_text(trained.uri)
    assert isinstance(open_study(elsewhere, "forms"), TrackedResults)


@pytest.mark.parametrize("store", [None, b""])
def test_a_ledger_is_read_whatever_became_of_the_store(
    trained: Trained, tmp_path: Path, store: bytes | None
) -> None:
    workspace = tmp_path / "runs"
    shutil.copytree(trained.workspace / "studies", workspace / "studies")
    if store is not None:
        (workspace / DATABASE).write_bytes(store)
    table = load_per_perturbation(open_study(workspace, "forms"))
    pd.testing.assert_frame_equal(table, load_per_perturbation(trained.study))


def test_a_file_that_a_trial_should_have_left_is_named_where_it_is_missing(trained: Trained) -> None:
    with (
        pytest.raises(InputError, match=r"'forms/006' ended as failed and should have left '.*safetensors'"),
        trained.study.file(trained.study.trial("006"), WEIGHTS_FILE),
    ):
        pass
