from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.command import Simulated
from fixtures.dataset import without_test
from fixtures.narrowed import of_kind
from fixtures.packaged import found_at

import adapert
from adapert.config import Config, build_config, model_names, read_config
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.models.network import restore_network
from adapert.models.networks import network_parts
from adapert.plugins import load_plugin
from adapert.registry import build_model
from adapert.results.find import open_study
from adapert.results.tracked import TrackedResults
from adapert.statistics.pairs import without_chance
from adapert.study.plan.definition import describe_origin
from adapert.study.plan.study import Design, Search, Study
from adapert.tracking.store import tracking_uri
from adapert.training.fit import FittedNetwork, begin_fit
from adapert.workspace.launch import build_base
from search_spaces.adapert import SPACE

SETTINGS = {"model.name": "text_map", "text_map.rank": 3, "training.max_epochs": 2}


def fitted(dataset: PreparedDataset) -> FittedNetwork:
    model = build_model(Config().with_changes(SETTINGS), 0, torch.device("cpu"))
    model.fit(dataset)
    return of_kind(FittedNetwork, model)


@pytest.mark.usefixtures("package")
def test_a_packages_model_has_a_section_in_its_own_configs_alone() -> None:
    config = Config().with_changes(SETTINGS)
    assert config.flat()["text_map.rank"] == 3
    assert set(config.settings()) >= {"text_map.rank", "text_map.lambda_non", "training.max_epochs"}
    assert not any(name.startswith("graph.") for name in config.settings())
    assert not any(name.startswith("text_map.") for name in Config().flat())
    assert config.with_changes({"model.name": "adapert"}).flat().keys() == Config().flat().keys()
    assert config.digest() != config.with_changes({"text_map.rank": 4}).digest()
    assert config.digest() == config.with_changes({"loss.lambda_non": 0.5}).digest()
    assert "text_map" in model_names()
    assert "text_map" not in without_chance()


@pytest.mark.usefixtures("package")
def test_a_packages_config_is_written_read_and_checked_as_any(tmp_path: Path) -> None:
    config = Config().with_changes(SETTINGS)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert read_config(tmp_path / "c.yaml").digest() == config.digest()
    assert build_config(config.flat()) == config
    with pytest.raises(InputError, match=r"^Config has no field 'text_map.rankk'. Did you mean"):
        config.with_changes({"text_map.rankk": 3})
    with pytest.raises(InputError, match=r"^Config field 'text_map.rank': .* greater than or equal to 1"):
        config.with_changes({"text_map.rank": 0})
    with pytest.raises(InputError, match=r"Config has no field 'text_map.rank'"):
        Config().with_changes({"text_map.rank": 3})


def test_a_model_whose_package_is_not_installed_is_unknown() -> None:
    with pytest.raises(InputError, match=r"Input should be 'adapert', .*, but it is 'text_map'\.$"):
        Config().with_changes({"model.name": "text_map"})


@pytest.mark.usefixtures("package")
def test_a_packages_network_trains_and_predicts_by_its_own_equation(tiny_dataset: PreparedDataset) -> None:
    dataset = without_test(tiny_dataset)
    model = fitted(dataset)
    weights = {name: value.numpy() for name, value in model.training.network.state_dict().items()}
    text = np.asarray(dataset.shared.text_embedding)
    names = ["G01", "G00+G03"]
    summed = np.stack([text[dataset.perturbed_nodes(name)].sum(axis=0) for name in names])
    low = summed @ weights["direction.weight"].T
    expected = low @ weights["response.weight"].T + weights["response.bias"]
    np.testing.assert_allclose(model.predict(names), expected, atol=1e-6)
    assert set(model.training.resolved) == {"resolved_huber_delta", "non_deg_shrinkage", "n_parameters"}


@pytest.mark.usefixtures("package")
def test_what_a_packages_network_reports_is_kept_epoch_by_epoch_and_compared_by_a_rerun(
    simulated: Simulated, tmp_path: Path
) -> None:
    place = build_base(simulated.prepared, None, SETTINGS)
    plan = Design(kind="ablation", variants={"full": {}}, n_seeds=1)
    study = Study(name="own", question="Kept?", base=place, plan=plan)
    adapert.launch(study, workspace=tmp_path, executor="local")
    for results in (open_study(tmp_path, "own"), TrackedResults(tracking_uri(tmp_path), "own")):
        history = results.read_histories(["predicted_size"])
        assert list(history["epoch"]) == [1, 2]
        assert (history["value"] > 0).all()
    metrics = adapert.rerun("own/001", tmp_path).metrics.set_index("metric")
    assert metrics.loc["predicted_size", "difference"] == 0
    assert metrics.loc["predicted_size", "again"] > 0


@pytest.mark.usefixtures("package")
def test_a_packages_network_reports_under_names_of_its_own(
    tiny_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(Config().with_changes(SETTINGS), 0, torch.device("cpu"))
    fit = begin_fit(model, without_test(tiny_dataset))
    network = of_kind(FittedNetwork, model).training.network
    monkeypatch.setattr(network, "epoch_report", lambda observed: {"pds": 1.0})
    with pytest.raises(InputError, match="'text_map' reports 'pds', which every trial reports"):
        fit.step()


@pytest.mark.usefixtures("package")
def test_a_packages_network_is_restored_from_its_weights(tiny_dataset: PreparedDataset) -> None:
    dataset = without_test(tiny_dataset)
    model = fitted(dataset)
    network = restore_network(
        network_parts("text_map"), dataset, model.config, 0, model.training.network.state_dict()
    )
    for name, value in network.state_dict().items():
        assert torch.equal(value, model.training.network.state_dict()[name])


@pytest.mark.usefixtures("package")
def test_a_packages_code_is_part_of_what_a_study_continues_with() -> None:
    base = Config().with_changes(SETTINGS)
    search = Study(name="s", question="", base=base, plan=Search(space=load_plugin("text_map").space))
    assert "text_map" in describe_origin(search)["code"]
    other = Study(name="s", question="", base=Config(), plan=Search(space=SPACE))
    assert "text_map" not in describe_origin(other)["code"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("reads_several", [True, False])
def test_a_package_says_whether_its_model_reads_several_networks(
    monkeypatch: pytest.MonkeyPatch, reads_several: bool
) -> None:
    plugin = load_plugin("text_map")
    monkeypatch.setitem(plugin.__dict__, "reads_several_networks", reads_several)
    assert Config().with_changes(SETTINGS).reads_several_networks == reads_several


@pytest.mark.usefixtures("package")
def test_a_packages_model_reads_embeddings_unless_it_says_not(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config().with_changes(SETTINGS)
    assert config.reads_embeddings
    assert not config.reads_edges
    monkeypatch.setitem(load_plugin("text_map").__dict__, "reads_embeddings", False)
    assert not config.reads_embeddings


@pytest.fixture
def handmade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of an installed package whose entry points cannot be used."""
    info = tmp_path / "handmade-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: handmade\nVersion: 1.0\n")
    points = "gone = no_such_module:MODEL\nwrong = json:dumps\nadapert = json:dumps\ngraph = json:dumps\n"
    (info / "entry_points.txt").write_text(f"[adapert.models]\n{points}")
    yield from found_at(tmp_path, monkeypatch)


@pytest.mark.usefixtures("handmade")
def test_a_package_that_cannot_be_imported_is_named_where_its_model_is() -> None:
    with pytest.raises(InputError, match=r"^The model 'gone' .* 'no_such_module:MODEL' cannot be imported"):
        Config().with_changes({"model.name": "gone"})
    assert Config().with_changes({"model.tau": 0.5}).model.tau == 0.5


@pytest.mark.usefixtures("handmade")
def test_an_entry_point_that_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be a ModelPlugin .* but that of 'wrong' is not"):
        Config().with_changes({"model.name": "wrong"})


@pytest.mark.usefixtures("handmade")
def test_a_packages_model_never_takes_a_name_of_the_project(caplog: pytest.LogCaptureFixture) -> None:
    assert [name for name in model_names() if name in ("adapert", "graph")] == ["adapert"]
    assert Config().model.name == "adapert"
    assert "The model 'graph' of 'json:dumps' is left out" in caplog.text
