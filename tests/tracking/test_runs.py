import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from fixtures.launched import runs_in
from fixtures.ledger import HandMade, MakeLedger

from adapert.config import Config
from adapert.records import Tag
from adapert.study.engine.events import RunTracked
from adapert.study.engine.ledger import Ledger, read_events
from adapert.tracking.expected import STUDY
from adapert.tracking.runs import (
    EVALUATION_FILES,
    MAX_METRICS,
    NotYetError,
    Runs,
    is_lasting,
    keep_evaluation,
    keep_figures,
    keep_pick,
    keep_report,
)
from adapert.tracking.store import open_store, tracking_uri

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

TAGS: dict[str, str] = {Tag.KIND: "study", Tag.STUDY: "try"}


@pytest.fixture
def made(make_ledger: MakeLedger, workspace: Path) -> HandMade:
    return make_ledger(workspace=workspace)


@pytest.fixture
def new_runs(made: HandMade, workspace: Path) -> Iterator[Callable[..., Runs]]:
    """Runs as a process knows them that takes the study up."""
    ledgers = []

    def build(
        run_ids: None = None, is_new: bool = False, connect: Callable[[], NoReturn] | None = None
    ) -> Runs:
        ledgers.append(Ledger(made.path))
        return Runs(connect or partial(open_store, workspace), ledgers[-1], run_ids or {}, is_new)

    yield build
    for ledger in ledgers:
        ledger.close()


def test_the_store_is_opened_by_its_first_use(new_runs: Callable[..., Runs]) -> None:
    def refuse() -> NoReturn:
        raise ConnectionError("refused")

    runs = new_runs(connect=refuse)
    with pytest.raises(NotYetError, match="ConnectionError: refused"):
        runs.create(STUDY, "try", TAGS, at=1.0)


def test_a_new_run_is_recorded_in_the_ledger(
    new_runs: Callable[..., Runs], made: HandMade, workspace: Path
) -> None:
    new_runs(is_new=True).create(STUDY, "try", TAGS, at=1.5)
    (run,) = runs_in(workspace)
    *_, line = read_events(made.path)
    assert line == RunTracked(trial=STUDY, run=run.info.run_id, time=line.time)
    assert (run.info.run_name, run.info.start_time) == ("try", 1500)


def test_a_run_that_the_ledger_does_not_name_is_found_again(
    new_runs: Callable[..., Runs], workspace: Path
) -> None:
    for _ in range(2):
        new_runs().create(STUDY, "try", TAGS, at=1.5)
    assert len(runs_in(workspace)) == 1


def test_a_run_of_another_beginning_is_another_study_s(
    new_runs: Callable[..., Runs], workspace: Path
) -> None:
    for at in (1.5, 2.5):
        new_runs().create(STUDY, "try", TAGS, at=at)
    assert len(runs_in(workspace)) == 2


def test_more_metrics_than_mlflow_takes_at_once_are_all_kept(
    new_runs: Callable[..., Runs], workspace: Path
) -> None:
    runs = new_runs(is_new=True)
    runs.create(STUDY, "try", TAGS, at=1.0)
    n_steps = MAX_METRICS // 2 + 10
    for step in range(n_steps):
        runs.log_metrics(STUDY, {"one": 1.0 * step, "two": 2.0 * step}, step, at=float(step))
    runs.flush()
    client, _ = open_store(workspace)
    history = client.get_metric_history(runs_in(workspace)[0].info.run_id, "two")
    assert [metric.value for metric in history] == [2.0 * step for step in range(n_steps)]


def test_metrics_wait_until_they_are_flushed(new_runs: Callable[..., Runs], workspace: Path) -> None:
    runs = new_runs(is_new=True)
    runs.create(STUDY, "try", TAGS, at=1.0)
    runs.log_metrics(STUDY, {"one": 1.0}, step=1, at=1.0)
    assert runs_in(workspace)[0].data.metrics == {}
    runs.forget_metrics()
    runs.flush()
    assert runs_in(workspace)[0].data.metrics == {}


@pytest.mark.parametrize(("name", "is_for_good"), [("a+b", True), ("fine", False)])
def test_what_mlflow_refuses_for_good_is_told_from_what_it_cannot_do_now(
    new_runs: Callable[..., Runs], workspace: Path, name: str, is_for_good: bool
) -> None:
    runs = new_runs(is_new=True)
    runs.create(STUDY, "try", TAGS, at=1.0)
    runs.log_metrics(STUDY, {name: 1.0}, step=1, at=1.0)
    if not is_for_good:
        (workspace / "mlflow.db").write_bytes(b"no database " * 1000)
    with pytest.raises(Exception, match=r".") as refusal:
        runs.flush()
    assert is_lasting(refusal.value) is is_for_good


def test_a_config_becomes_params_and_a_file(new_runs: Callable[..., Runs], workspace: Path) -> None:
    runs = new_runs(is_new=True)
    runs.create(STUDY, "try", TAGS, at=1.0)
    config = Config().with_changes({"model.tau": 0.123456789012345})
    for _ in range(2):
        runs.log_params(STUDY, config)
        runs.keep_text(STUDY, config.to_yaml(), "config.yaml")
    (run,) = runs_in(workspace)
    assert run.data.params["model.tau"] == "0.123456789012345"
    assert set(run.data.params) == set(config.settings())


@pytest.mark.parametrize(("n_accesses", "tag"), [(2, "2"), (None, None)])
def test_an_evaluation_is_kept_with_its_study_and_counted_where_test_was_opened(
    new_runs: Callable[..., Runs], workspace: Path, tmp_path: Path, n_accesses: int | None, tag: str | None
) -> None:
    new_runs(is_new=True).create(STUDY, "try", TAGS, at=1.0)
    folder = tmp_path / "test_001"
    folder.mkdir()
    for name in (*EVALUATION_FILES, "predictions.h5ad"):
        (folder / name).write_text(name)
    keep_evaluation(tracking_uri(workspace), "try", folder, n_accesses)
    (run,) = runs_in(workspace)
    assert run.data.tags.get(Tag.TEST_OPENINGS) == tag
    client, _ = open_store(workspace)
    kept = client.list_artifacts(run.info.run_id, "evaluation/test_001")
    assert {file.path for file in kept} == {f"evaluation/test_001/{name}" for name in EVALUATION_FILES}


@pytest.fixture
def drawn(tmp_path: Path) -> list[Path]:
    """A figure's files."""
    paths = [tmp_path / "figures" / f"figure.{form}" for form in ("png", "pdf")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.suffix.encode())
    return paths


def list_files(client: "MlflowClient", run_id: str, folder: str | None) -> list[tuple[str, int]]:
    return [(file.path, file.file_size) for file in client.list_artifacts(run_id, folder)]


def test_figures_and_a_report_are_where_mlflow_lists_them(
    new_runs: Callable[..., Runs], workspace: Path, drawn: list[Path]
) -> None:
    for at in (1.0, 2.0):  # the study was launched twice, and the last run is its own
        new_runs(is_new=True).create(STUDY, "try", TAGS, at=at)
    for _ in range(2):
        keep_figures(tracking_uri(workspace), {"try": drawn})
        keep_report(tracking_uri(workspace), ["try"], "<html>ä")
    client, _ = open_store(workspace)
    last, first = runs_in(workspace)
    assert last.info.start_time > first.info.start_time
    assert list_files(client, last.info.run_id, "figures") == [("figures/figure.png", 4)]
    assert list_files(client, last.info.run_id, "report") == [("report/report.html", 8)]
    assert list_files(client, first.info.run_id, None) == []


def test_figures_of_a_workspace_that_moved_are_kept_in_the_new_place(
    new_runs: Callable[..., Runs], workspace: Path, drawn: list[Path]
) -> None:
    new_runs(is_new=True).create(STUDY, "try", TAGS, at=1.0)
    moved = workspace.rename(workspace.with_name("moved to 100% ü?"))
    keep_figures(tracking_uri(moved), {"try": drawn})
    client, experiment = open_store(moved)
    (run,) = client.search_runs([experiment])
    assert list_files(client, run.info.run_id, "figures") == [("figures/figure.png", 4)]
    assert not workspace.exists()


def test_figures_go_to_no_deleted_run(
    new_runs: Callable[..., Runs], workspace: Path, drawn: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    new_runs(is_new=True).create(STUDY, "try", TAGS, at=1.0)
    (run,) = runs_in(workspace)
    client, _ = open_store(workspace)
    client.delete_run(run.info.run_id)
    keep_figures(tracking_uri(workspace), {"try": drawn})
    assert "There is no study 'try'" in caplog.text
    assert list_files(client, run.info.run_id, None) == []


def test_keeping_figures_in_a_workspaces_own_store_does_not_import_mlflow(
    new_runs: Callable[..., Runs], workspace: Path, drawn: list[Path]
) -> None:
    new_runs(is_new=True).create(STUDY, "try", TAGS, at=1.0)
    code = (
        "import sys; from pathlib import Path; from adapert.tracking.runs import keep_figures\n"
        "keep_figures(sys.argv[1], {'try': [Path(sys.argv[2])]}); print('mlflow' in sys.modules)"
    )
    words = [sys.executable, "-c", code, tracking_uri(workspace), str(drawn[0])]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


KEEPERS = [
    (keep_pick, ("try", "pearson_delta", "")),
    (keep_figures, ({"try": [Path("figure.png")]},)),
    (keep_report, (["try"], "<html>")),
    (keep_evaluation, ("try", Path("test_001"), 1)),
]


@pytest.mark.parametrize(("keep", "given"), KEEPERS)
@pytest.mark.parametrize("address", ["sqlite:////nowhere/mlflow.db", "http://127.0.0.1:9", "nonsense://"])
def test_a_store_that_is_away_costs_a_sentence_and_no_error(
    keep: Callable[..., object], given: tuple[object, ...], address: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(address, *given)
    (line,) = [each.getMessage() for each in caplog.records if each.name == "adapert.tracking.runs"]
    assert line.startswith("MLflow did not take ")
    assert line.endswith(". The workspace has it.")


def test_a_store_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("adapert.tracking.runs.KEEP_SECONDS", 0.01)
    answered = threading.Event()
    monkeypatch.setattr("adapert.tracking.runs.study_run", lambda *_: answered.wait(5))
    keep_pick("http://127.0.0.1:9", "try", "pds", "")
    answered.set()
    assert caplog.messages == [
        "MLflow did not take how the config was picked within 0.01 s. The workspace has it."
    ]


def test_a_run_names_its_data_set(new_runs: Callable[..., Runs], workspace: Path) -> None:
    runs = new_runs(is_new=True)
    runs.create(STUDY, "try", TAGS, at=1.0)
    config = Config().with_changes({"data.path": "/data/replogle", "data.fingerprint": "0012"})
    for _ in range(2):
        runs.log_data(STUDY, config)
    (run,) = runs_in(workspace)
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("replogle", "0012")
    assert used.tags[0].value == "training"
