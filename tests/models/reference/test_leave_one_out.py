from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.dataset import with_second_embeddings
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from adapert.data.prepared import PreparedDataset
from adapert.models.reference import leave_one_out
from adapert.models.reference.leave_one_out import INTERCEPT, LeaveOneOutKernelRidge, gene_coordinates

WANTED = ["G00", "G14", "G00+G03"]


@pytest.fixture(scope="module")
def fitted(dataset: PreparedDataset) -> LeaveOneOutKernelRidge:
    model = LeaveOneOutKernelRidge()
    model.fit(dataset)
    return model


def test_the_error_is_that_of_leaving_out_each_perturbation_in_turn(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first step all widths, weights and penalties are 1, and the prior is 0."""
    monkeypatch.setattr(leave_one_out, "N_STEPS", 0)
    model = LeaveOneOutKernelRidge()
    model.fit(dataset)
    train = dataset.splits["train"].table
    centred = train.delta - train.delta.mean(axis=0)
    centred = centred / np.sqrt((centred**2).sum() / len(centred))
    near = [1 + rbf_kernel(rows, gamma=0.5) for rows in gene_coordinates(dataset.shared)]
    of_genes = (np.prod(near, axis=0) - 1) / (2 ** len(near) - 1)
    names = dataset.shared.node_names.tolist()
    genes = [[names.index(gene) for gene in str(name).split("+")] for name in train.perturbations]
    kernel = np.array([[of_genes[np.ix_(one, other)].sum() for other in genes] for one in genes]) + INTERCEPT
    errors = []
    for left_out in range(len(genes)):
        rest = np.delete(np.arange(len(genes)), left_out)
        ridge = KernelRidge(alpha=1.0, kernel="precomputed").fit(kernel[np.ix_(rest, rest)], centred[rest])
        errors.append(ridge.predict(kernel[[left_out]][:, rest])[0] - centred[left_out])
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    components = torch.from_numpy((left * lengths).astype(np.float64))
    members = model._members
    loss = model._settings.loss(model._distances(members), torch.from_numpy(members.has), components)
    assert loss.item() == pytest.approx(np.square(errors).sum() / len(genes))


def test_learning_lowers_the_error(dataset: PreparedDataset, fitted: LeaveOneOutKernelRidge) -> None:
    assert all(log.detach().all() for log in fitted._settings.parameters())
    components = torch.ones(10, 3, dtype=torch.float64)
    distances, has = fitted._distances(fitted._members), torch.from_numpy(fitted._members.has)
    settings = leave_one_out._Settings(len(distances), n_groups=1)
    before = settings.loss(distances, has, components).item()
    settings.learn(distances, has, components)
    assert settings.loss(distances, has, components).item() < before


def test_a_fit_reads_neither_validation_nor_chance(
    dataset: PreparedDataset, fitted: LeaveOneOutKernelRidge
) -> None:
    again = LeaveOneOutKernelRidge()
    torch.manual_seed(5)
    again.fit(replace(dataset, splits={"train": dataset.splits["train"]}))
    np.testing.assert_array_equal(again.predict(WANTED), fitted.predict(WANTED))


def test_text_is_diffused_from_the_five_surest_neighbours_and_the_gene_itself(
    dataset: PreparedDataset,
) -> None:
    shared = dataset.shared
    text = np.asarray(shared.text_embedding, dtype=np.float64)
    surest = shared.edge_score[shared.edge_rank < 5].max()
    diffused = text
    for found in gene_coordinates(shared)[2:]:
        sums, weights = surest * diffused, np.full(len(text), surest)
        for source, target, rank, score in zip(
            shared.edge_source, shared.edge_target, shared.edge_rank, shared.edge_score, strict=True
        ):
            if rank < 5:
                sums[target] += score * diffused[source]
                weights[target] += score
        diffused = sums / weights[:, None]
        centred = diffused - diffused.mean(axis=0)
        np.testing.assert_allclose(found, centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-6)


def test_one_training_perturbation_predicts_its_own_change(dataset: PreparedDataset) -> None:
    train = dataset.splits["train"]
    kept = {name: getattr(train.table, name)[:1] for name in ("perturbations", "delta")}
    single = replace(train, table=replace(train.table, **kept))
    model = LeaveOneOutKernelRidge()
    model.fit(replace(dataset, splits={"train": single}))
    np.testing.assert_allclose(model.predict(["G00"])[0], train.table.delta[0], atol=1e-9)


def test_each_further_source_is_one_more_kind_of_coordinates(dataset: PreparedDataset) -> None:
    both = with_second_embeddings(dataset)
    plain, wider = (gene_coordinates(both.shared, picked) for picked in ("", "text+rpe1"))
    assert len(wider) == len(plain) + 1
    for one, same in zip(plain, wider, strict=False):
        np.testing.assert_array_equal(one, same)
    np.testing.assert_allclose(wider[-1], both.shared.embeddings["rpe1"].embedding, atol=1e-6)
    models = [LeaveOneOutKernelRidge(picked) for picked in ("", "text+rpe1", "none")]
    for model in models:
        model.fit(both)
    predicted = [model.predict(WANTED) for model in models]
    assert all(np.isfinite(each).all() for each in predicted)
    assert not np.allclose(predicted[0], predicted[1])
    assert not np.allclose(predicted[0], predicted[2])
