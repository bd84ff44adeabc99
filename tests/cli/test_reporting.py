"""The command that writes the page."""

from pathlib import Path

import pytest
from fixtures.command import Refused, RunCommand
from fixtures.copied import copy_store
from fixtures.store import Store

from adapert.tracking.expected import NOTE
from adapert.tracking.read import study_run


@pytest.fixture
def workspace(store: Store, tmp_path: Path) -> Path:
    """A copy of the tests' store, in which a page may be kept."""
    copy_store(store, tmp_path / "runs")
    return tmp_path / "runs"


def test_report_writes_one_page_and_keeps_it_with_every_study(adapert: RunCommand, workspace: Path) -> None:
    from mlflow.artifacts import load_text

    ended = adapert("report", "start_only", "lost_table", "--workspace", workspace, "--out", "here/page.html")
    assert ended.status == 0, ended
    assert "Wrote here/page.html (" in ended.out
    findings = ended.out.partition("\nFindings\n")[2].splitlines()
    assert findings[-2:] == [
        "How sure: none of these studies compares variants.",
        "Undecided: not asked was which part of the model matters (ablation), which lambda_non is best "
        "(sensitivity) and whether AdaPert is better than tuned kernel ridge (peers, evaluate).",
    ]
    page = Path("here/page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for study in ("start_only", "lost_table"):
        run = study_run(f"sqlite:///{workspace}/mlflow.db", study)
        assert load_text(f"{run.info.artifact_uri}/report/report.html") == page
        assert "How sure: none of these studies compares variants." in run.data.tags[NOTE]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", "vary_lamda"], "Did you mean 'vary_lambda'?"),
        (["report", "ablate_parts", "--split", "tset"], "must be one of validation, but it is 'tset'"),
        (["report", "ablate_parts", "--split", "test"], "figures --evaluation FOLDER"),
        (["report", "two_designs"], "A study has one design"),
        (["report", "ablate_parts", "--out", "."], "'.' is a directory"),
        (["report"], "Missing argument"),
    ],
)
def test_wrong_questions_are_refused(refused: Refused, store: Store, words: list[str], says: str) -> None:
    assert says in refused(*words, "--workspace", store.directory)


def test_a_workspace_without_a_study_is_refused(refused: Refused) -> None:
    assert "There is no study 'search' in 'runs'. It has no study yet." in refused("report", "search")
