from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import with_second_embeddings, with_second_network
from fixtures.narrowed import present
from safetensors.torch import load_file, save_file

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import graph_nodes
from adapert.errors import InputError
from adapert.models.adapert.model import AdaPert, build_model
from adapert.models.networks import network_parts
from adapert.models.targets import build_targets
from adapert.prediction.bundle import BUNDLE_FILE, Bundle, Member, read_bundle, write_bundle
from adapert.prediction.files import write_deltas
from adapert.prediction.predictions import DEVICE, predict_bundle
from adapert.training.prediction import predict

SMALL = {
    "model.structural_size": 8,
    "model.latent_size": 8,
    "model.hidden_size": 8,
    "data.fingerprint": "tiny",
    "data.path": "/somebody/s/place",
}
ASKED = ["G00", "G01+G13", "G14"]

FORMS: dict[str, dict[str, Any]] = {
    "straight_through": {"model.threshold": 1.0},
    "top_k": {"model.selection": "top_k", "model.context_size": 4},
    "soft": {"model.selection": "soft"},
    "all_nodes": {"model.context": "all_nodes"},
    "neighbourhood": {"model.context": "neighbourhood"},
    "random": {"model.context": "random", "model.context_size": 4},
    "constant": {"model.context": "constant"},
    "rewired": {"graph.edges": "rewired", "data.text_embedding": "shuffled"},
    "expression": {"model.predict": "expression"},
    "perturbed": {"graph.nodes": "perturbed", "graph.kept_fraction": 0.5},
}


def build(
    dataset: PreparedDataset, changes: dict[str, Any], seeds: tuple[int, ...] = (0,)
) -> tuple[list[AdaPert], Bundle]:
    """Models with the weights of an untrained one, and their bundle."""
    config = Config().with_changes(SMALL | changes)
    models = [build_model(dataset, config, seed) for seed in seeds]
    members = [
        Member(f"r{seed}", seed, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
        for seed, model in zip(seeds, models, strict=True)
    ]
    return models, Bundle(config, dataset.shared, members)


@pytest.mark.parametrize("form", FORMS)
def test_a_bundle_predicts_as_its_model_without_any_split(
    tiny_dataset: PreparedDataset, tmp_path: Path, form: str
) -> None:
    (model,), bundle = build(tiny_dataset, FORMS[form], seeds=(3,))
    write_bundle(bundle, tmp_path / "bundle")
    deltas = predict_bundle(read_bundle(tmp_path / "bundle"), ASKED).deltas
    np.testing.assert_array_equal(deltas, predict(model, tiny_dataset, ASKED, DEVICE))
    assert list(deltas.index) == ASKED
    assert list(deltas.columns) == list(tiny_dataset.gene_names)


def test_a_bundle_has_every_source_of_its_data(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    dataset = with_second_embeddings(with_second_network(tiny_dataset))
    (model,), bundle = build(dataset, {"graph.networks": "go", "data.embeddings": "rpe1+text"})
    write_bundle(bundle, tmp_path / "bundle")
    deltas = predict_bundle(read_bundle(tmp_path / "bundle"), ASKED).deltas
    np.testing.assert_array_equal(deltas, predict(model, dataset, ASKED, DEVICE))


def test_a_bundle_does_not_say_where_its_data_lay(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    write_bundle(build(tiny_dataset, {})[1], tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle").config.data.path == ""


@pytest.mark.parametrize("form", [form for form in FORMS if form != "constant"])
def test_contexts_are_what_the_model_sums(tiny_dataset: PreparedDataset, form: str) -> None:
    (model,), bundle = build(tiny_dataset, FORMS[form])
    predictions = predict_bundle(bundle, ASKED)
    targets = build_targets(tiny_dataset, ASKED, DEVICE)
    with torch.no_grad():
        context, h = model.contexts(targets), model.node_embeddings()
        nodes = graph_nodes(tiny_dataset.shared, bundle.config.graph)
        names = tiny_dataset.shared.node_names[nodes].tolist()
        for row, name in enumerate(ASKED):
            rows = predictions.contexts[predictions.contexts["perturbation"] == name]
            summed = sum(
                weight * h[names.index(gene)]
                for gene, weight in zip(rows["gene"], rows["weight"], strict=True)
            )
            torch.testing.assert_close(model.context_norm(summed), context.z[row], atol=1e-4, rtol=1e-4)
            assert rows["is_selected"].sum() == context.n_selected[row]
            assert set(rows.loc[rows["is_perturbed"], "gene"]) == set(name.split("+"))
            is_scored = bundle.config.model.context == "adaptive"
            assert rows["alpha"].notna().all() == is_scored


def test_several_seeds_are_a_mean_and_say_how_many_select_a_gene(tiny_dataset: PreparedDataset) -> None:
    models, bundle = build(tiny_dataset, FORMS["top_k"], seeds=(0, 1, 2))
    predictions = predict_bundle(bundle, ASKED)
    single = [predict(model, tiny_dataset, ASKED, DEVICE) for model in models]
    np.testing.assert_allclose(predictions.deltas, np.mean(single, axis=0), rtol=1e-6)
    targets = build_targets(tiny_dataset, ASKED, DEVICE)
    with torch.no_grad():
        weights = np.mean([present(model.contexts(targets).weights).numpy() for model in models], axis=0)
    names = list(tiny_dataset.shared.node_names)
    found = predictions.contexts.set_index(["perturbation", "gene"])["selected_fraction"]
    for row, name in enumerate(ASKED):
        expected = {names[node]: weights[row, node] for node in np.flatnonzero(weights[row])}
        assert found.loc[name].to_dict() == pytest.approx(expected)
    assert (predictions.contexts["is_selected"] == (predictions.contexts["selected_fraction"] >= 0.5)).all()


def test_edges_are_those_of_the_graph_each_pair_once(tiny_dataset: PreparedDataset) -> None:
    _, bundle = build(tiny_dataset, FORMS["all_nodes"] | {"graph.top_k": 2})
    edges = predict_bundle(bundle, ["G00"]).edges
    shared = tiny_dataset.shared
    kept = shared.edge_rank < 2
    names = shared.node_names
    expected = {
        frozenset((names[s], names[t]))
        for s, t in zip(shared.edge_source[kept], shared.edge_target[kept], strict=True)
    }
    assert {frozenset(pair) for pair in edges.itertuples(index=False)} == expected
    assert len(edges) == len(expected)


def test_genes_that_nothing_tells_apart_are_told(tiny_dataset: PreparedDataset) -> None:
    _, bundle = build(tiny_dataset, {})
    (note,) = predict_bundle(bundle, ASKED).notes
    assert note == "G14: without text or network edges, nothing tells it apart."
    assert predict_bundle(bundle, ASKED[:2]).notes == ()


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({"model.name": "txpert"}, ["G14"], "without network edges"),
        ({"model.name": "app"}, ["G14"], "without text or network edges"),
        ({"model.name": "app", "app.n_layers": 0}, ["G14"], "without text"),
        (
            {"model.name": "txpert", "txpert.n_layers": 0},
            ["G00"],
            "with a model that reads neither text nor edges",
        ),
    ],
)
def test_a_note_names_what_the_model_reads(
    tiny_dataset: PreparedDataset, changes: dict[str, Any], asked: list[str], reason: str
) -> None:
    bundle = bundle_of(tiny_dataset, changes)
    assert predict_bundle(bundle, asked).notes == (f"{asked[0]}: {reason}, nothing tells it apart.",)


def test_a_network_of_several_networks_has_neither_contexts_nor_edges(tiny_dataset: PreparedDataset) -> None:
    several = {"model.name": "txpert", "txpert.layer": "hybrid", "graph.networks": "network+go"}
    predictions = predict_bundle(bundle_of(with_second_network(tiny_dataset), several), ["G00"])
    assert predictions.contexts.empty
    assert predictions.edges.empty
    assert list(predictions.edges) == ["source", "target"]


def bundle_of(dataset: PreparedDataset, changes: dict[str, Any]) -> Bundle:
    """An untrained network's bundle."""
    config = Config().with_changes({"data.fingerprint": "tiny"} | changes)
    network = network_parts(config.model.name).build(dataset, config, 0)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return Bundle(config, dataset.shared, [Member("r0", 0, weights)])


def test_weights_of_another_config_are_refused(tiny_dataset: PreparedDataset) -> None:
    _, bundle = build(tiny_dataset, {})
    other = replace(bundle, config=bundle.config.with_changes({"model.hidden_size": 9}))
    with pytest.raises(InputError, match="those of trial 'r0' do not fit it"):
        predict_bundle(other, ASKED)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"folder must be whole, but .*{BUNDLE_FILE}' is missing"):
        read_bundle(tmp_path)
    (tmp_path / BUNDLE_FILE).write_text('{"format": 99, "members": []}')
    with pytest.raises(InputError, match=r"must have format 3, but .* has 99"):
        read_bundle(tmp_path)


def test_a_bundle_keeps_its_units(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    bundle = replace(build(tiny_dataset, {})[1], units="rank")
    write_bundle(bundle, tmp_path / "bundle")
    assert predict_bundle(read_bundle(tmp_path / "bundle"), ASKED).units == "rank"


@pytest.fixture
def written(tiny_dataset: PreparedDataset, tmp_path: Path) -> Path:
    """A bundle's folder."""
    _, bundle = build(tiny_dataset, {})
    write_bundle(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    ("described", "fault"),
    [
        ("[" * 100_000, "is missing or damaged"),
        ('{"format": 3, "units": ""}', "has members: Field required"),
        ('{"format": 3, "units": "", "members": []}', "has members: "),
        ('{"format": 3, "units": "", "members": [{"run": 7, "seed": 0}]}', "has members.0.run: "),
        ('{"format": 3, "units": "", "members": [{"run": "r0", "seed": "0"}]}', "has members.0.seed: "),
        ('{"format": 3, "units": "", "members": [{"run": "r0", "seed": -1}]}', "has members.0.seed: "),
    ],
)
def test_a_description_of_other_types_is_refused(written: Path, described: str, fault: str) -> None:
    (written / BUNDLE_FILE).write_text(described)
    with pytest.raises(InputError, match=rf"folder must be whole, but '.*{BUNDLE_FILE}' {fault}"):
        read_bundle(written)


def test_a_bundle_says_what_is_damaged_in_its_network(written: Path) -> None:
    np.save(written / "shared/edge_source.npy", np.array([-1]))
    with pytest.raises(InputError, match=r"folder must be whole, but '.*edge_.*\. Run 'adapert pick' again"):
        read_bundle(written)


def change_weights(written: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = next(written.glob("*.safetensors"))
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda w: w["context_norm.weight"].fill_(np.nan), "NaN or infinite values in 'context_norm.weight'"),
        (lambda w: w.pop("context_norm.weight"), "do not fit it"),
        (lambda w: w.update({"context_norm.weight": w["context_norm.weight"].int()}), "do not fit it"),
        (
            lambda w: [w[name].fill_(3e38) for name in ("output.offset", "decoder.last.bias")],
            "Predictions must be finite numbers",
        ),
    ],
)
def test_weights_that_do_not_predict_are_refused(
    written: Path, change: Callable[[dict[str, torch.Tensor]], object], fault: str
) -> None:
    change_weights(written, change)
    with pytest.raises(InputError, match=fault):
        predict_bundle(read_bundle(written), ASKED)


def test_every_file_holds_the_same_deltas(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    import anndata
    import pandas as pd

    deltas = predict_bundle(build(tiny_dataset, {})[1], ASKED).deltas
    for form in ("csv", "parquet", "h5ad"):
        write_deltas(deltas, tmp_path / f"deltas.{form}", "rank")
    read = anndata.read_h5ad(tmp_path / "deltas.h5ad")
    assert read.uns["values"] == "predicted delta, rank"
    tables = [
        pd.read_csv(tmp_path / "deltas.csv").set_index("perturbation"),
        pd.read_parquet(tmp_path / "deltas.parquet").set_index("perturbation"),
        read.to_df(),
    ]
    for table in tables:
        pd.testing.assert_frame_equal(
            table, deltas, check_dtype=False, check_names=False, check_index_type=False
        )
