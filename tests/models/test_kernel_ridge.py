from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import with_second_embeddings
from sklearn.kernel_ridge import KernelRidge as ScikitLearns
from sklearn.metrics.pairwise import rbf_kernel

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.errors import InputError
from adapert.models.encoders import text_order
from adapert.models.gene_kernels import network_coordinates
from adapert.models.kernel_ridge import KernelRidge

SETTINGS = {
    "model.name": "kernel_ridge",
    "graph.top_k": 3,
    "kernel_ridge.network_kernel": "heat",
    "kernel_ridge.size": 10,
    "kernel_ridge.time": 2.0,
    "kernel_ridge.text_gamma": 0.75,
    "kernel_ridge.network_gamma": 0.35,
    "kernel_ridge.text_weight": 0.3,
    "kernel_ridge.product_weight": 0.6,
    "kernel_ridge.other_gamma": 0.9,
    "kernel_ridge.other_weight": 1.4,
    "kernel_ridge.penalty": 0.4,
}


def predict(dataset: PreparedDataset, config: Config, perturbations: Sequence[str]) -> FloatArray:
    model = KernelRidge(config)
    model.fit(dataset)
    return model.predict(perturbations)


@pytest.mark.parametrize("embeddings", ["", "text+rpe1"])
def test_predictions_are_scikit_learns_on_kernels_added_up_over_genes(
    dataset: PreparedDataset, embeddings: str
) -> None:
    dataset = with_second_embeddings(dataset)
    config, shared = Config().with_changes(SETTINGS | {"data.embeddings": embeddings}), dataset.shared
    text = rbf_kernel(np.asarray(shared.text_embedding, dtype=np.float64), gamma=0.75)
    network = rbf_kernel(network_coordinates(shared, config.graph, "heat", 10, 2.0), gamma=0.35)
    of_genes = 0.3 * text + 0.7 * network + 0.6 * text * network
    if embeddings:
        other = rbf_kernel(np.asarray(shared.embeddings["rpe1"].embedding, dtype=np.float64), gamma=0.9)
        of_genes = (1 + of_genes) * (1 + 1.4 * other) - 1
    names = shared.node_names.tolist()

    def genes(perturbation: str) -> list[int]:
        return [names.index(gene) for gene in perturbation.split("+")]

    def kernel(perturbations: Sequence[str], others: Sequence[str]) -> FloatArray:
        blocks = [[of_genes[np.ix_(genes(one), genes(other))] for other in others] for one in perturbations]
        return np.array([[block.sum() for block in row] for row in blocks])

    train = dataset.splits["train"].table
    known, wanted = [str(name) for name in train.perturbations], ["G00", "G14", "G00+G03"]
    centre = train.delta.mean(axis=0)
    reference = ScikitLearns(alpha=0.4, kernel="precomputed").fit(kernel(known, known), train.delta - centre)
    expected = reference.predict(kernel(wanted, known)) + centre
    np.testing.assert_allclose(predict(dataset, config, wanted), expected, atol=1e-8)


@pytest.mark.parametrize(
    "change",
    [
        {"graph.top_k": 1},
        {"kernel_ridge.network_kernel": "spectral"},
        {"kernel_ridge.size": 2},
        {"kernel_ridge.time": 0.1},
        {"kernel_ridge.text_gamma": 3.0},
        {"kernel_ridge.network_gamma": 3.0},
        {"kernel_ridge.text_weight": 0.9},
        {"kernel_ridge.product_weight": 0.0},
        {"kernel_ridge.other_gamma": 3.0},
        {"kernel_ridge.other_weight": 0.0},
        {"kernel_ridge.penalty": 4.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_hyperparameter_changes_predictions(
    dataset: PreparedDataset, change: dict[str, object]
) -> None:
    dataset = with_second_embeddings(dataset)
    config = Config().with_changes(SETTINGS | {"data.embeddings": "text+rpe1"})
    one, other = (predict(dataset, each, ["G00", "G14"]) for each in (config, config.with_changes(change)))
    assert not np.allclose(one, other)


def test_a_kernel_of_perturbed_genes_refuses_another(dataset: PreparedDataset) -> None:
    shared = replace(dataset.shared, is_perturbed=dataset.shared.node_names != "G10")
    partly = replace(dataset, shared=shared)
    config = Config().with_changes(SETTINGS | {"graph.nodes": "perturbed"})
    assert np.isfinite(predict(partly, config, ["G00", "G14"])).all()
    with pytest.raises(InputError, match=r"graph\.nodes 'perturbed' .* but 'G10' is not"):
        predict(partly, config, ["G00", "G10"])


@pytest.mark.parametrize("noise", ["kept_fraction", "added_fraction", "rewired_fraction"])
def test_only_noise_makes_seeds_differ(dataset: PreparedDataset, noise: str) -> None:
    def fit(seed: int, **changes: object) -> tuple[bool, FloatArray]:
        model = KernelRidge(Config().with_changes(SETTINGS | changes), seed)
        model.fit(dataset)
        return model.is_seeded, model.predict(["G02", "G14"])

    change = {f"graph.{noise}": 0.5}
    assert fit(0)[0] is False
    assert np.array_equal(fit(0)[1], fit(1)[1])
    assert fit(0, **change)[0] is True
    assert not np.allclose(fit(0, **change)[1], fit(1, **change)[1])


def test_a_seed_shuffles_every_source_of_embeddings_among_genes(dataset: PreparedDataset) -> None:
    dataset = with_second_embeddings(dataset)
    shared = dataset.shared
    config = Config().with_changes(SETTINGS | {"data.embeddings": "text+rpe1"})
    shuffled = config.with_changes({"data.text_embedding": "shuffled"})
    order = text_order(dataset, shuffled, seed=1)
    other = shared.embeddings["rpe1"]
    by_hand = replace(
        shared,
        text_embedding=shared.text_embedding[order],
        embeddings={"rpe1": replace(other, embedding=other.embedding[order])},
    )
    model, expected = KernelRidge(shuffled, seed=1), KernelRidge(config)
    model.fit(dataset)
    expected.fit(replace(dataset, shared=by_hand))
    assert (model.is_seeded, expected.is_seeded) == (True, False)
    wanted = ["G02", "G14"]
    assert np.array_equal(model.predict(wanted), expected.predict(wanted))
    assert not np.allclose(model.predict(wanted), predict(dataset, config, wanted))


def test_of_nothing_but_the_training_mean_is_left(dataset: PreparedDataset) -> None:
    nothing = SETTINGS | {"data.embeddings": "none", "graph.networks": "none"}
    predicted = predict(dataset, Config().with_changes(nothing), ["G00", "G14"])
    mean = dataset.splits["train"].table.delta.mean(axis=0)
    assert np.abs(predicted[0] - predicted[1]).max() < 1e-8
    assert np.abs(predicted[0] - mean).max() < np.abs(mean).max()


def test_a_large_penalty_leaves_the_mean_change(dataset: PreparedDataset) -> None:
    config = Config().with_changes(SETTINGS | {"kernel_ridge.penalty": 1e12})
    mean = dataset.splits["train"].table.delta.mean(axis=0)
    np.testing.assert_allclose(predict(dataset, config, ["G02"])[0], mean, atol=1e-8)
