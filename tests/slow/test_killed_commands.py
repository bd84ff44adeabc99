"""Commands killed at three moments each, and typed again: they go on, and nothing half-written is seen."""

import json
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import psutil
import pytest
from fixtures.killed import Sign, break_off, count_lines, has_lines, run
from fixtures.launched import LOCAL, SEARCH, command, runs_in

from adapert.comparison.test_access import read_accesses
from adapert.config import Config, read_config, write_config
from adapert.data.manifest import read_manifest
from adapert.data.prepared import check_values, read_prepared
from adapert.data.schema import SPLITS
from adapert.data.simulate import simulate
from adapert.files import MARK
from adapert.records import Tag
from adapert.results.find import open_study
from adapert.study.engine.folders import study_names
from adapert.study.engine.ledger import LEDGER_FILE
from adapert.tracking.store import DATABASE
from adapert.workspace.resume import sync

pytestmark = pytest.mark.slow

STUDY = "tiny_search"


def exists(path: Path) -> Sign:
    return lambda process, out: path.exists()


def is_written(path: Path) -> Sign:
    """A file that lines are added to has its first line: it is there, empty, a moment before."""
    return lambda process, out: path.is_file() and path.read_text().endswith("\n")


def has_loaded(library: str) -> Sign:
    """The process has a library in memory: it is at the work that needs it."""

    def sign(process: psutil.Process, out: str) -> bool:
        # psutil has the kernel count each library's pages, which holds the process up.
        return library in Path(f"/proc/{process.pid}/maps").read_text()

    return sign


def has_printed(words: str) -> Sign:
    return lambda process, out: words in out


def has_rows(database: Path, query: str, n: int) -> Sign:
    """A query of MLflow's database counts as many."""

    def sign(process: psutil.Process, out: str) -> bool:
        if not database.is_file():
            return False
        try:
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
                return bool(connection.execute(query).fetchone()[0] >= n)
        except sqlite3.OperationalError:  # the table is not there yet
            return False

    return sign


def left_beside(folder: Path) -> list[Path]:
    """What killed processes left under temporary names, or for Ray, anywhere below a folder."""
    return [path for path in folder.rglob("*") if MARK.search(path.name) or path.name == "ray"]


ENDS = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".pdf": b"%%EOF", ".html": b"</html>"}


def assert_whole_files(workspace: Path) -> None:
    """Every file that can be seen in a workspace can be read to its end, but for MLflow's and Ray's own."""
    for path in workspace.rglob("*"):
        parts = path.relative_to(workspace).parts
        is_others = {"artifacts", "ray"} & set(parts) or any(part.startswith(".") for part in parts)
        if path.is_dir() or is_others:
            continue
        if path.suffix in ENDS:
            assert path.read_bytes().rstrip().endswith(ENDS[path.suffix]), path
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            assert len(pd.read_parquet(path)), path
        elif path.suffix == ".yaml":
            read_config(path)
        elif path.suffix in (".safetensors", ".md", ".tex", ".csv"):
            assert path.stat().st_size, path


def ledger_of(workspace: Path, study: str = STUDY) -> Path:
    return workspace / "studies" / study / LEDGER_FILE


def trials_of(workspace: Path, study: str) -> pd.DataFrame:
    """A study's trials without what no two runs share."""
    frame = open_study(workspace, study).frame
    numbers = [
        name
        for name in frame.columns.astype(str)
        if name.startswith(("last_", "best_")) and "seconds" not in name
    ]
    numbers = [name for name in numbers if "system" not in name]
    return frame[["trial", "variant", "seed", "status", "reason", "config_digest", *numbers]]


def assert_same_study(workspace: Path, whole: Path, study: str) -> None:
    """No trial is lost, none is there twice, and each has the numbers of the unbroken run."""
    found = trials_of(workspace, study)
    assert not found.duplicated("trial").any()
    assert not found.duplicated(["variant", "seed", "config_digest"]).any()
    pd.testing.assert_frame_equal(found, trials_of(whole, study))


def assert_told_once(workspace: Path) -> None:
    """MLflow has every run of every study once, and each has ended."""
    studies = study_names(workspace)
    for study in studies:
        assert sync(workspace, study) == (0, "")
    tags = [run.data.tags for run in runs_in(workspace)]
    told = Counter((each[Tag.STUDY], each.get(Tag.TRIAL, "")) for each in tags)
    trials = [(study, trial) for study in studies for trial in open_study(workspace, study).frame["trial"]]
    assert told == Counter([*trials, *((study, "") for study in studies)])
    assert {run.info.status for run in runs_in(workspace)} == {"FINISHED"}


def both(one: Callable[[], object], other: Callable[[], object]) -> None:
    """Run an unbroken command beside a broken one."""
    with ThreadPoolExecutor(2) as two_at_once:
        for started in [two_at_once.submit(one), two_at_once.submit(other)]:
            started.result()


@pytest.fixture(scope="module")
def searched(launchable: Path) -> Path:
    """A workspace with a finished search; to be copied."""
    line = command(launchable.parent, "searched", SEARCH, launchable, "--max-epochs", "4", *LOCAL)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return launchable.parent / "searched runs"


@pytest.fixture
def copied(searched: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of it: one for what is broken off, one for what is not."""
    broken, whole = tmp_path / "broken runs", tmp_path / "whole runs"
    for workspace in (broken, whole):
        shutil.copytree(searched, workspace)
    return broken, whole


def test_a_killed_prepare_leaves_no_data_set_and_the_next_one_sweeps_what_it_left(tmp_path: Path) -> None:
    made = tmp_path / "input"
    simulate(made, n_perturbations=60, n_genes=400, cells_per_perturbation=60, n_controls=400)
    inputs = [str(made / "cells.h5ad"), "--network", str(made / "network.tsv.gz")]
    words = ["prepare", *inputs, "--embeddings", str(made / "text.npz"), "--effect-size-groups", "tertiles"]
    places = {name: tmp_path / name / "prepared" for name in ("broken", "whole")}
    beside = places["broken"].parent

    def has_written(name: str) -> Sign:
        return lambda process, out: any(beside.glob(f".prepared.*/{name}"))

    def check(moment: str) -> None:
        assert not places["broken"].exists()
        assert len(left_beside(beside)) == 1, moment

    moments = {
        "early": lambda process, out: bool(left_beside(beside)),
        "middle": has_written("train/deg_mask.npy"),
        "late": has_written("manifest.json"),
    }
    both(
        lambda: run([*words, "--out", str(places["whole"])]),
        lambda: break_off([*words, "--out", str(places["broken"])], moments, check, tmp_path / "log"),
    )
    assert [path.name for path in beside.iterdir()] == ["prepared"]
    check_values(read_prepared(places["broken"], SPLITS))
    manifests = [read_manifest(place) for place in places.values()]
    assert manifests[0].fingerprint == manifests[1].fingerprint


def test_a_killed_pick_goes_on_and_picks_the_same_config(copied: tuple[Path, Path]) -> None:
    broken, whole = copied
    few = ["--top", "2", "--fresh-seeds", "2", "--redraws", "1"]

    def words(workspace: Path) -> list[str]:
        return ["pick", STUDY, *few, "--out", str(workspace / "best.yaml"), "--workspace", str(workspace)]

    again, folder = ledger_of(broken, f"{STUDY}_reevaluation"), ledger_of(broken).parent

    def check(moment: str) -> None:
        assert not (broken / "best.yaml").exists()
        assert (folder / "picked_model").exists() == (moment in ("late", "last"))
        assert (folder / "pick.json").exists() == (moment == "last")
        assert_whole_files(broken)

    moments = {
        "early": has_lines(again, "asked", 1),
        "middle": has_lines(again, "ended", 2),
        "late": exists(folder / "picked_model"),  # which MLflow does not have yet
        "last": exists(folder / "pick.json"),
    }
    both(lambda: run(words(whole)), lambda: break_off(words(broken), moments, check, broken.with_name("log")))
    assert_same_study(broken, whole, again.parent.name)
    assert read_config(broken / "best.yaml") == read_config(whole / "best.yaml")
    for name in ("pick.json", "picked_model/bundle.json"):
        assert (folder / name).read_text() == (ledger_of(whole).parent / name).read_text()
    assert "picked model" in run(["predict", STUDY, gene_of(broken), "--workspace", str(broken)])
    assert left_beside(broken) == []
    assert_told_once(broken)


def gene_of(workspace: Path) -> str:
    """A gene of a workspace's data."""
    return str(read_prepared(Path(open_study(workspace, STUDY).frame["data.path"][0])).gene_names[0])


def test_a_killed_extend_adds_its_trials_once(copied: tuple[Path, Path]) -> None:
    broken, whole = copied

    def words(workspace: Path) -> list[str]:
        return ["extend", STUDY, "--trials", "1", "--workspace", str(workspace)]

    ledger = ledger_of(broken)
    before = count_lines(ledger)

    def check(moment: str) -> None:
        assert count_lines(ledger)["extended"] == (0 if moment == "early" else 1)
        assert_whole_files(broken)

    moments = {
        "early": lambda process, out: any((ledger.parent / "requests").glob("[!.]*.json")),
        "middle": has_lines(ledger, "reported", before["reported"] + 1),
        "late": has_lines(ledger, "ended", before["ended"] + 1),
    }
    both(lambda: run(words(whole)), lambda: break_off(words(broken), moments, check, broken.with_name("log")))
    assert len(trials_of(broken, STUDY)) == before["asked"] + 1
    assert_same_study(broken, whole, STUDY)
    assert left_beside(broken) == []
    assert_told_once(broken)


def test_a_killed_evaluate_opens_the_test_split_once_and_writes_the_same(copied: tuple[Path, Path]) -> None:
    broken, whole = copied

    def words(workspace: Path) -> list[str]:
        config = workspace / "best.yaml"
        write_config(best_config(workspace), config)
        options = ["--models", "adapert,mean,ridge_text", "--seeds", "2"]
        return ["evaluate", str(config), *options, "--workspace", str(workspace)]

    folder = broken / "evaluations" / "test_001"

    def check(moment: str) -> None:
        assert len(read_accesses(broken)) == (0 if moment == "early" else 1)
        assert folder.exists() == (moment == "late")
        assert_whole_files(broken)

    moments = {
        "early": has_printed("mean"),
        "middle": is_written(broken / "test_openings.jsonl"),
        "late": exists(folder),
    }
    both(lambda: run(words(whole)), lambda: break_off(words(broken), moments, check, broken.with_name("log")))
    assert [access.folder for access in read_accesses(broken)] == ["evaluations/test_001"]
    assert [path.name for path in folder.parent.iterdir()] == ["test_001"]
    expected = whole / "evaluations" / "test_001"
    for name in ("per_perturbation.csv", "summary.csv", "paired.csv"):
        assert (folder / name).read_text() == (expected / name).read_text()
    assert [path.name for path in broken.glob(".test_opening_*")] == []
    assert_told_once(broken)
    assert {run.data.tags.get(Tag.TEST_OPENINGS) for run in runs_in(broken)} == {"1", None}


def best_config(workspace: Path) -> Config:
    from adapert.selection.rank import pick

    return pick(open_study(workspace, STUDY)).config


def test_a_killed_report_is_absent_or_whole(copied: tuple[Path, Path]) -> None:
    broken, whole = copied

    def words(workspace: Path) -> list[str]:
        return ["report", STUDY, "--workspace", str(workspace)]

    page = broken / "report.html"

    def check(moment: str) -> None:
        assert page.exists() == (moment == "late")
        assert_whole_files(broken)

    moments = {"early": has_loaded("libparquet"), "middle": has_loaded("ft2font"), "late": exists(page)}
    both(lambda: run(words(whole)), lambda: break_off(words(broken), moments, check, broken.with_name("log")))
    assert tell(broken) == tell(whole)
    assert left_beside(broken) == []
    assert_told_once(broken)


def tell(workspace: Path) -> str:
    """A workspace's page without where and when it was written."""
    page = (workspace / "report.html").read_text().replace(workspace.name, "")
    return re.sub(r"\d\d-\d\d \d\d:\d\d UTC", "", page)


def test_a_killed_sync_goes_on_and_delivers_nothing_twice(copied: tuple[Path, Path]) -> None:
    broken, whole = copied
    database = broken / DATABASE
    database.unlink()
    shutil.rmtree(broken / "artifacts")

    def words(workspace: Path) -> list[str]:
        return ["sync", STUDY, "--workspace", str(workspace)]

    before = count_lines(ledger_of(broken))

    def check(moment: str) -> None:
        # Only what MLflow calls its runs is written down.
        assert set(count_lines(ledger_of(broken)) - before) <= {"tracked"}
        assert_whole_files(broken)

    ended = "SELECT COUNT(*) FROM runs WHERE status = 'FINISHED'"
    moments = {
        "early": has_rows(database, "SELECT COUNT(*) FROM runs", 1),
        "middle": has_rows(database, "SELECT COUNT(*) FROM metrics", 10),
        "late": has_rows(database, ended, 2),
    }
    break_off(words(broken), moments, check, broken.with_name("log"))
    assert_told_once(broken)
    assert describe_runs(broken) == describe_runs(whole)


def describe_runs(workspace: Path) -> list[tuple[object, ...]]:
    """What a workspace's store holds, without ids."""
    from adapert.tracking.store import open_store

    client, _ = open_store(workspace)
    return sorted(
        (
            run.data.tags.get(Tag.TRIAL, ""),
            run.info.status,
            run.data.params,
            [
                (metric.step, metric.value)
                for metric in client.get_metric_history(run.info.run_id, "pearson_delta")
            ],
            sorted(file.path for file in client.list_artifacts(run.info.run_id)),
            len(run.inputs.dataset_inputs),
        )
        for run in runs_in(workspace)
    )


def test_a_killed_reproduce_goes_on_with_what_is_done_and_equals_one_on_ray(
    launchable: Path, tmp_path: Path
) -> None:
    broken, whole = tmp_path / "broken runs", tmp_path / "whole runs"
    size = ["--trials", "2", "--seeds", "1", "--max-epochs", "1", "--min-epochs", "1", "--device", "cpu"]
    few = ["--top", "1", "--fresh-seeds", "1", "--redraws", "0"]

    def words(workspace: Path, executor: str) -> list[str]:
        how = ["--workspace", str(workspace), "--executor", executor]
        return ["reproduce", "--data", str(launchable), *size, *few, *how]

    def check(moment: str) -> None:
        assert (broken / "best.yaml").exists() == (moment != "early")
        assert (broken / "figures").exists() == (moment == "late")
        assert not (broken / "report.html").exists()
        assert_whole_files(broken)

    moments = {
        "early": has_lines(ledger_of(broken, "search"), "reported", 1),
        "middle": has_lines(ledger_of(broken, "ablation"), "ended", 2),
        "late": exists(broken / "figures"),
    }
    both(
        lambda: run(words(whole, "ray")),
        lambda: break_off(words(broken, "local"), moments, check, tmp_path / "log"),
    )
    for study in ("search", "search_reevaluation", "ablation", "sensitivity"):
        assert_same_study(broken, whole, study)
    assert study_names(broken) == study_names(whole)
    assert read_config(broken / "best.yaml") == read_config(whole / "best.yaml")
    assert names_in(broken / "figures") == names_in(whole / "figures")
    assert_whole_files(broken)
    assert left_beside(broken) == []
    assert_told_once(broken)


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
