from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from fixtures.dataset import build_tiny_dataset
from mlflow.models import Model
from packaging.version import Version

from adapert.config import Config
from adapert.prediction.bundle import Bundle, Member, read_bundle, write_bundle
from adapert.prediction.predictions import predict_bundle
from adapert.prediction.served import requirements, save_served
from adapert.training.loop import train
from adapert.training.state import Training

ASKED = ["G00", "G01+G13", "G14"]


@pytest.fixture(scope="module")
def training() -> Training:
    """A TxPert after its best of three epochs, on a control of each batch and a graph of perturbed genes."""
    changes = {
        "model.name": "txpert",
        "data.control": "batch_mean",
        "graph.nodes": "perturbed",
        "txpert.size": 8,
        "txpert.latent_size": 8,
        "txpert.hidden_size": 16,
        "training.max_epochs": 3,
        "training.minibatch_size": 4,
    }
    training = Training(Config().with_changes(changes), build_tiny_dataset(), 3, torch.device("cpu"))
    list(train(training))
    training.network.load_state_dict(training.best.weights)
    return training


@pytest.fixture(scope="module")
def folder(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of its weights."""
    weights = {name: tensor.numpy() for name, tensor in training.best.weights.items()}
    path = tmp_path_factory.mktemp("served") / "bundle"
    write_bundle(Bundle(training.config, training.dataset.shared, [Member("t/1", 3, weights)]), path)
    return path


def test_a_bundle_of_txpert_predicts_as_the_network_that_was_trained(
    training: Training, folder: Path
) -> None:
    predictions = predict_bundle(read_bundle(folder), ASKED)
    np.testing.assert_array_equal(predictions.deltas, training.predict(ASKED))
    assert predictions.notes == ("G14: without network edges, nothing tells it apart.",)
    assert predictions.contexts.empty
    assert predictions.edges.empty


def test_mlflow_serves_txpert_and_names_what_a_server_of_it_needs(
    training: Training, folder: Path, tmp_path: Path
) -> None:
    save_served(folder, ASKED[:1], tmp_path / "model", Model())
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    long = served.predict(pd.DataFrame({"perturbation": ASKED}))
    predicted = long.pivot_table(index="perturbation", columns="gene", values="predicted_delta")
    np.testing.assert_allclose(
        predicted.loc[ASKED, training.dataset.gene_names], training.predict(ASKED), rtol=1e-6
    )
    pinned = (tmp_path / "model" / "requirements.txt").read_text().splitlines()
    assert f"torch-geometric=={Version(version('torch-geometric')).public}" in pinned


def test_a_server_of_adapert_needs_no_graph_attention() -> None:
    assert not any("geometric" in line for line in requirements("adapert"))
    assert {line.partition("==")[0] for line in requirements("adapert")} >= {"adapert", "torch", "numpy"}


@pytest.mark.usefixtures("package")
def test_a_server_of_a_packages_model_needs_the_package() -> None:
    assert "text-map==0.1.0" in requirements("text_map")
