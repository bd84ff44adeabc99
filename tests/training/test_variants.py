"""Every variant of the extended ablation trains, and changes what its row says."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.dataset import N_NODES
from fixtures.exhaustive import few_fast
from fixtures.narrowed import of_kind, present
from fixtures.trainings import adapert_of, context_of

from adapert.models.network import Prediction
from adapert.training.loop import EpochReport, train
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training
from studies.ablation_extended import VARIANTS

FirstStep = Callable[[str], tuple[Training, dict[str, torch.Tensor], Prediction]]
ReportsOf = Callable[[str], list[EpochReport]]

FULL = {"training.max_epochs": 2, "loss.lambda_non": 0.05, "loss.lambda_align": 0.3}


@pytest.fixture(scope="module")
def new_variant(new_training: NewTraining) -> NewTraining:
    return lambda name, **changes: new_training(FULL | VARIANTS[name] | changes)


@pytest.fixture(scope="module")
def reports_of(new_variant: NewTraining) -> ReportsOf:
    """Reports of a variant, which is trained once."""
    return cache(lambda name: list(train(new_variant(name))))


@pytest.fixture
def first_step(new_variant: NewTraining) -> FirstStep:
    """Losses and prediction of a variant's first minibatch: all training perturbations."""

    def step(name: str) -> tuple[Training, dict[str, torch.Tensor], Prediction]:
        training = new_variant(name)
        rows = training.objective.rows
        index = np.arange(len(rows.perturbation_index))
        losses, prediction = minibatch_losses(training, rows.minibatch(index, training.order_generator))
        return training, losses, prediction

    return step


def own_genes(training: Training) -> torch.Tensor:
    return training.targets.mark(N_NODES)


def graph_of(training: Training) -> torch.Tensor:
    return of_kind(torch.Tensor, adapert_of(training).message_passing.aggregate.matrix).to_dense()


@pytest.mark.parametrize("name", few_fast(VARIANTS, 8))
def test_variant_trains_with_finite_numbers(reports_of: ReportsOf, name: str) -> None:
    reports = reports_of(name)
    assert [report.epoch for report in reports] == [1, 2]
    assert all(math.isfinite(value) for report in reports for value in report.flat().values())


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "full"])
def test_variant_learns_something_else_than_the_full_model(reports_of: ReportsOf, name: str) -> None:
    def last(name: str) -> tuple[float, float]:
        report = reports_of(name)[-1]
        return report.losses["loss_recon"], report.validation["mse"]

    assert last(name) != last("full")


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_starts_from_the_full_models_weights(new_variant: NewTraining, name: str) -> None:
    full, variant = (dict(new_variant(n).network.named_parameters()) for n in ("full", name))
    begun = {"node_table", "scorer.node.weight"}
    assert begun <= set(full) & set(variant)
    if name in ("no_graph", "no_messages"):  # Their missing layers shift the draws that follow them.
        return
    # Other sizes shift the draws that follow them, too.
    is_alike = {n: value.shape for n, value in full.items()} == {
        n: value.shape for n, value in variant.items()
    }
    assert all(torch.equal(full[n], variant[n]) for n in (full if is_alike else begun))


@pytest.mark.parametrize("name", ["no_context", "no_context_no_non_deg"])
def test_no_context_gives_every_perturbation_one_constant(first_step: FirstStep, name: str) -> None:
    _, _, prediction = first_step(name)
    assert context_of(prediction).weights is None
    assert torch.equal(context_of(prediction).z, context_of(prediction).z[:1].expand(8, -1))


@pytest.mark.parametrize(
    ("name", "non", "align"), [("no_non_deg", 0, 0.3), ("no_context_no_non_deg", 0, 0.3)]
)
def test_no_non_deg_leaves_two_terms(first_step: FirstStep, name: str, non: int, align: float) -> None:
    _, losses, _ = first_step(name)
    expected = losses["loss_recon"] + non * losses["loss_non"] + align * losses["loss_align"]
    torch.testing.assert_close(losses["loss_total"], expected)


def test_no_align_leaves_two_terms(first_step: FirstStep) -> None:
    _, losses, _ = first_step("no_align")
    torch.testing.assert_close(losses["loss_total"], losses["loss_recon"] + 0.05 * losses["loss_non"])


def test_static_graph_selects_all_nodes(first_step: FirstStep) -> None:
    _, _, prediction = first_step("static_graph")
    assert torch.equal(present(context_of(prediction).weights), torch.ones(8, N_NODES))
    assert context_of(prediction).n_selected.tolist() == [N_NODES] * 8


def test_neighbourhood_selects_the_rows_of_the_graph(first_step: FirstStep) -> None:
    training, _, prediction = first_step("neighbourhood")
    reached = own_genes(training) @ graph_of(training) + own_genes(training)
    assert torch.equal(present(context_of(prediction).weights), (reached > 0).float())


def test_random_context_selects_as_many_nodes_as_configured(first_step: FirstStep) -> None:
    training, _, prediction = first_step("random_context")
    is_single = training.targets.is_gene.sum(dim=1) == 1
    others = present(context_of(prediction).weights) - own_genes(training)
    assert set(others[is_single].sum(dim=1).tolist()) <= {3.0, 4.0}


def test_soft_context_weighs_every_node(first_step: FirstStep) -> None:
    _, _, prediction = first_step("soft_context")
    assert (present(context_of(prediction).weights) > 0).all()
    torch.testing.assert_close(present(context_of(prediction).weights).sum(dim=1), torch.ones(8))


def test_literal_context_selects_as_the_full_model_without_a_gradient(first_step: FirstStep) -> None:
    full, literal = (present(context_of(first_step(name)[2]).weights) for name in ("full", "literal_eq13"))
    assert torch.equal(full.detach(), literal)
    assert full.requires_grad
    assert not literal.requires_grad


def test_shuffled_text_permutes_rows_and_nothing_else(new_variant: NewTraining) -> None:
    full, shuffled = (adapert_of(new_variant(name)) for name in ("full", "shuffled_text"))
    rows = [sorted(map(tuple, model.text.embedding.tolist())) for model in (full, shuffled)]
    assert rows[0] == rows[1]
    assert not torch.equal(full.text.embedding, shuffled.text.embedding)
    assert torch.equal(
        of_kind(torch.Tensor, full.message_passing.aggregate.matrix).to_dense(),
        of_kind(torch.Tensor, shuffled.message_passing.aggregate.matrix).to_dense(),
    )


def test_rewired_graph_keeps_every_genes_number_of_neighbours(new_variant: NewTraining) -> None:
    full, rewired = (graph_of(new_variant(name, **{"graph.top_k": 2})) for name in ("full", "rewired_graph"))
    assert not torch.equal(full, rewired)
    assert torch.equal((full > 0).sum(dim=1), (rewired > 0).sum(dim=1))


def test_no_graph_leaves_the_node_table(new_variant: NewTraining) -> None:
    model = adapert_of(new_variant("no_graph", **{"model.node_features": "one_hot"}))
    assert torch.equal(model.node_embeddings(), model.node_table)
