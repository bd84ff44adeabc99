from pathlib import Path
from urllib.parse import unquote, urlparse

from adapert.records import EXPERIMENT
from adapert.tracking.store import DATABASE, open_store, tracking_uri


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
