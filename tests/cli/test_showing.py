"""Commands that show results, and how they and `pick` refuse a store without an answer."""

import pytest
from fixtures.store import Store


@pytest.mark.parametrize("words", [["pick", "search", "--out", "best.yaml"], ["figures", "ablation"], ["ui"]])
def test_a_workspace_without_a_store_is_refused(refused, words):
    message = refused(*words)
    assert "mlflow.db" in message
    assert "--workspace" in message


@pytest.mark.parametrize("words", [["pick", "vary_lamda", "--out", "best.yaml"], ["figures", "vary_lamda"]])
def test_an_unknown_study_is_answered_with_the_nearest(refused, store: Store, words):
    assert "Did you mean 'vary_lambda'?" in refused(*words, "--workspace", store.directory)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["figures", "search_wide"], "search_wide (search)"),
        (["figures", "ablate_parts", "--split", "tset"], "Did you mean 'test'?"),
        (["figures", "ablate_parts", "--split", "test"], "has the split 'test'"),
        (["figures", "start_only"], "'start_only' has none"),
        (["pick", "start_only", "--out", "best.yaml"], "'start_only' has none"),
        (["figures"], "Missing argument"),
        (["pick", "search_wide"], "Missing option '--out'"),
    ],
)
def test_wrong_questions_to_a_store_are_refused(refused, store: Store, words, says):
    assert says in refused(*words, "--workspace", store.directory)
