"""A store of its own that a report may be kept in, and the page of two of its studies."""

import pytest
from fixtures.copied import OwnStore, copy_store
from fixtures.store import Store

from adapert.records import Tag
from adapert.tracking.read import study_run
from analysis.report.content import build_report
from analysis.report.page import render_page

QUESTION = 'Is <script>alert(1)</script> & co. "worth" it?'


@pytest.fixture(scope="session")
def own_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    from mlflow.tracking import MlflowClient

    directory = tmp_path_factory.mktemp("report") / "runs"
    uri = copy_store(store, directory)
    run = study_run(uri, "ablate_parts").info.run_id
    MlflowClient(uri).set_tag(run, Tag.QUESTION, QUESTION)
    return OwnStore(directory, uri)


@pytest.fixture(scope="session")
def page(own_store: OwnStore) -> str:
    """Of an ablation and a search."""
    names = ["ablate_parts", "search_wide"]
    return render_page(build_report(own_store.directory, names))
