"""A workspace that was copied or moved after a search: every command works there, and writes nowhere else."""

import os
import shlex
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest
from fixtures.command import RunCommand
from fixtures.launched import LOCAL, SEARCH, command, runs_in

from adapert.data.prepared import read_prepared
from adapert.records import Tag
from adapert.results.find import open_study

pytestmark = pytest.mark.slow

STUDY = "tiny_search"
COPIED, MOVED = "copied ? #1 100%41 ü", "moved #? %20 größer"


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and directory below a folder, with size and time of its last change."""
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths}


def use(adapert: RunCommand, workspace: Path, gene: str) -> None:
    """Type every command about a study that has ended; each must succeed."""
    picked = workspace / "best.yaml"
    for line in (
        f"status {STUDY}",
        f"pick {STUDY} --no-reevaluation --out {shlex.quote(str(picked))}",
        f"predict {STUDY} {gene}",
        f"rerun {STUDY}",
        f"extend {STUDY} --trials 1",
        f"figures {STUDY}",
        f"report {STUDY}",
        f"sync {STUDY}",
    ):
        # From a directory of its own: what is written beside would be seen.
        with chdir(workspace):
            ended = adapert(*shlex.split(line), "--workspace", workspace)
        assert ended.status == 0, f"{line}\n{ended.out}{ended.err}"


def artifacts_of(workspace: Path) -> set[Path]:
    """Where MLflow has the artifacts of a workspace's runs."""
    from mlflow.artifacts import download_artifacts

    from adapert.tracking.store import tracking_uri

    address = tracking_uri(workspace)
    return {
        Path(download_artifacts(run_id=run.info.run_id, artifact_path="", tracking_uri=address)).resolve()
        for run in runs_in(workspace)
    }


def assert_whole(workspace: Path) -> None:
    """The study has its new trial, its outputs, and in MLflow each run once, with artifacts below."""
    trials = open_study(workspace, STUDY).frame["trial"]
    assert len(trials) == 4
    told = [
        run.data.tags[Tag.TRIAL]
        for run in runs_in(workspace)
        if run.data.tags.get(Tag.KIND) == "trial" and run.data.tags.get(Tag.TRIAL)
    ]
    assert sorted(told) == sorted(trials)
    assert all(path.is_relative_to(workspace.resolve()) for path in artifacts_of(workspace))
    assert (workspace / "report.html").is_file()
    assert any((workspace / "figures").glob("*.png"))
    assert (workspace / "studies" / STUDY / "picked_model").is_dir()


def test_a_copied_and_a_moved_workspace_are_used_without_a_trace_elsewhere(
    launchable: Path, adapert: RunCommand, tmp_path: Path
) -> None:
    line = command(tmp_path, "first", SEARCH, launchable, "--max-epochs", "3", *LOCAL)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    original, copied, moved = (tmp_path / name for name in ("first runs", COPIED, MOVED))
    gene = str(read_prepared(launchable).shared.node_names[0])

    shutil.copytree(original, copied)
    before = list_files(original)
    use(adapert, copied, gene)
    assert list_files(original) == before
    assert_whole(copied)

    original.rename(moved)
    before = list_files(copied)
    use(adapert, moved, gene)
    assert list_files(copied) == before
    assert_whole(moved)
    assert sorted(os.listdir(tmp_path)) == sorted([COPIED, MOVED, "first recipe.py"])
