from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from adapert.errors import InputError
from adapert.records import EXPERIMENT
from adapert.tracking.store import DATABASE, name_store, open_store, tracking_uri


def test_the_store_s_address_is_absolute_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tracking_uri(Path("my runs")) == f"sqlite:///{tmp_path}/my runs/{DATABASE}"


def test_opening_makes_database_and_experiment_with_absolute_artifacts(workspace, monkeypatch):
    (workspace / DATABASE).unlink()
    monkeypatch.chdir(workspace.parent)
    client, experiment_id = open_store(Path(workspace.name))
    experiment = client.get_experiment(experiment_id)
    assert (workspace / DATABASE).is_file()
    assert experiment.name == EXPERIMENT
    address = urlparse(experiment.artifact_location)
    assert address.scheme == "file"
    assert unquote(address.path) == str(workspace / "artifacts")


def test_opening_again_gives_the_same_experiment(workspace):
    assert open_store(workspace)[1] == open_store(workspace)[1]


def test_artifacts_land_in_the_workspace_whatever_the_current_directory(workspace, tmp_path, monkeypatch):
    client, experiment_id = open_store(workspace)
    run_id = client.create_run(experiment_id).info.run_id
    file = tmp_path / "config.yaml"
    file.write_text("model: {}")
    monkeypatch.chdir("/")
    client.log_artifact(run_id, str(file))
    assert (workspace / "artifacts" / run_id / "artifacts" / "config.yaml").is_file()


# another store than the workspace's own


def test_a_named_store_is_that_of_the_workspace(tmp_path):
    assert name_store(tmp_path / "runs", "http://server:5000")
    assert tracking_uri(tmp_path / "runs") == "http://server:5000"


def test_naming_the_same_store_again_changes_nothing(tmp_path):
    name_store(tmp_path, "http://server:5000")
    assert not name_store(tmp_path, "http://server:5000")
    assert tracking_uri(tmp_path) == "http://server:5000"


def test_a_workspace_with_a_named_store_refuses_another(tmp_path):
    name_store(tmp_path, "http://server:5000")
    with pytest.raises(InputError, match=r"has http://server:5000 and was given http://other:5000\. Give"):
        name_store(tmp_path, "http://other:5000")
    assert tracking_uri(tmp_path) == "http://server:5000"


def test_a_workspace_with_studies_in_its_own_database_refuses_another(workspace):
    with pytest.raises(InputError, match=r"has sqlite:///.* and was given http://other:5000"):
        name_store(workspace, "http://other:5000")
    assert tracking_uri(workspace).startswith("sqlite:")


def test_two_workspaces_may_share_a_named_store(workspace, tmp_path):
    address = tracking_uri(workspace)
    for name in ("one", "two"):
        name_store(tmp_path / name, address)
    assert open_store(tmp_path / "one")[1] == open_store(tmp_path / "two")[1] == open_store(workspace)[1]
