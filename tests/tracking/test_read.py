import re
from pathlib import Path

import pytest
from fixtures.store import Store

from adapert.errors import InputError
from adapert.tracking.read import find_studies, has_trials, tracked_names


def test_a_store_that_does_not_exist_is_refused_and_not_created(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with pytest.raises(InputError, match=re.escape(f"there is no file '{path}'")):
        tracked_names(f"sqlite:///{path}")
    assert not path.exists()


def test_a_config_is_found_in_the_studies_that_tried_it_the_oldest_first(store: Store) -> None:
    studies = find_studies(store.uri, "123456789012")
    assert studies[0] == "ablate_parts"
    assert len(studies) == len(set(studies))
    assert {"vary_lambda", "search_wide"} <= set(studies)
    assert find_studies(store.uri, "000000000000") == []


def test_a_study_has_trials_in_a_store_or_not(store: Store) -> None:
    assert has_trials(store.uri, "search_wide")
    assert not has_trials(store.uri, "two_designs")
