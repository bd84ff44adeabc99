import re
import shutil
from pathlib import Path

import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared

from adapert.config import Config
from adapert.errors import InputError
from adapert.results.inputs import find_data


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a workspace and its data in it, and the config of a study there."""
    write_prepared(build_tiny_dataset(), tmp_path / "project" / "data" / "prepared")
    (tmp_path / "project" / "out" / "runs").mkdir(parents=True)
    return tmp_path / "project"


def config_of(path: Path, fingerprint: str = "tiny") -> Config:
    return Config().with_changes({"data.path": str(path), "data.fingerprint": fingerprint})


def change_fingerprint(data: Path) -> None:
    manifest = data / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"other"'))


def test_data_are_found_where_they_were(project: Path) -> None:
    path = project / "data" / "prepared"
    assert find_data(config_of(path), project / "out" / "runs") == path


def test_data_that_moved_together_with_the_workspace_are_found(project: Path, tmp_path: Path) -> None:
    config = config_of(project / "data" / "prepared")
    moved = project.rename(tmp_path / "another name ü")
    assert find_data(config, moved / "out" / "runs") == moved / "data" / "prepared"


def test_data_in_the_workspace_are_found_after_it_moved(tmp_path: Path) -> None:
    workspace = tmp_path / "runs"
    write_prepared(build_tiny_dataset(), workspace / "prepared")
    config = config_of(workspace / "prepared")
    moved = workspace.rename(tmp_path / "elsewhere")
    assert find_data(config, moved) == moved / "prepared"


def test_a_workspace_that_is_named_from_its_own_folder_is_one_too(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(project / "data" / "prepared")
    moved = project.rename(tmp_path / "moved")
    monkeypatch.chdir(moved / "out")
    assert find_data(config, Path("runs")) == moved / "data" / "prepared"


def test_data_that_changed_where_they_were_give_way_to_those_that_moved(
    project: Path, tmp_path: Path
) -> None:
    config = config_of(project / "data" / "prepared")
    shutil.copytree(project, tmp_path / "copied")
    change_fingerprint(project / "data" / "prepared")
    assert find_data(config, tmp_path / "copied" / "out" / "runs") == tmp_path / "copied/data/prepared"


def test_other_data_are_never_taken_for_those_that_moved(project: Path, tmp_path: Path) -> None:
    config = config_of(project / "data" / "prepared")
    moved = project.rename(tmp_path / "moved")
    change_fingerprint(moved / "data" / "prepared")
    with pytest.raises(InputError, match=r"tiny, but .* is not there, and .* with --data DIR\."):
        find_data(config, moved / "out" / "runs")


def test_data_that_changed_are_told_with_both_fingerprints(project: Path) -> None:
    config = config_of(path := project / "data" / "prepared")
    change_fingerprint(path)
    says = f"of fingerprint tiny, but '{re.escape(str(path))}' now has other"
    with pytest.raises(InputError, match=says):
        find_data(config, project / "out" / "runs")


def test_data_that_are_named_are_taken_from_there(project: Path, tmp_path: Path) -> None:
    config = config_of(project / "data" / "prepared")
    away = (project / "data" / "prepared").rename(tmp_path / "away")
    assert find_data(config, project / "out" / "runs", away) == away


def test_data_of_another_fingerprint_that_are_named_are_refused(project: Path) -> None:
    path = project / "data" / "prepared"
    with pytest.raises(InputError, match=r"of fingerprint older, but '.*prepared' has tiny\..* --data DIR"):
        find_data(config_of(path, "older"), project / "out" / "runs", path)
