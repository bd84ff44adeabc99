from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import SmallPerturbedVae
from fixtures.dataset import N_GENES, build_tiny_dataset, without_cells_and_controls
from fixtures.narrowed import of_kind

from adapert.config import Config
from adapert.data.array_tables import CellTable
from adapert.models.perturbed_vae.latent import CausalGraph
from adapert.models.perturbed_vae.model import CellVae, MeanVae, PerturbedVae
from adapert.models.targets import Targets, build_targets
from adapert.training.objective import minibatch_losses
from adapert.training.prediction import predict
from adapert.training.state import Training

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]
FORMS: list[dict[str, Any]] = [
    {},
    {"perturbed_vae.latent_graph": "none"},
    {"perturbed_vae.mask": "none"},
    {"perturbed_vae.alignment": "none"},
    {"perturbed_vae.invariant_size": 0},
    {"perturbed_vae.effects": "table"},
]
MEANS = {"perturbed_vae.rows": "means"}


def targets_of(perturbations: list[str]) -> Targets:
    return build_targets(DATASET, perturbations, CPU)


def delta_of(model: PerturbedVae, perturbations: list[str]) -> np.ndarray:
    return predict(model, DATASET, perturbations, CPU)


def with_edges(model: PerturbedVae) -> PerturbedVae:
    """A network whose latents move each other, as untrained ones do not."""
    edges = of_kind(CausalGraph, model.latent_graph).edges
    torch.nn.init.normal_(edges, generator=torch.Generator().manual_seed(0))
    return model


def test_the_form_follows_what_the_data_hold(small_vae: SmallPerturbedVae) -> None:
    assert isinstance(small_vae(), CellVae)
    assert isinstance(small_vae(MEANS), MeanVae)
    assert isinstance(small_vae(dataset=without_cells_and_controls(DATASET)), MeanVae)


def test_shift_is_the_mean_over_all_masks(small_vae: SmallPerturbedVae) -> None:
    model = small_vae()
    nodes = DATASET.perturbed_nodes("G00+G03")
    with torch.no_grad():
        logits, effects = (each.numpy().ravel() for each in model.effects(torch.tensor(nodes)))
        found = model.shift(targets_of(["G00+G03"]), None).a.numpy()[0]
    p = 1 / (1 + np.exp(-logits))
    expected = np.zeros(3)
    for mask in product((0, 1), repeat=6):  # two genes, three latents
        kept = np.array(mask)
        expected += np.prod(np.where(kept, p, 1 - p)) * (kept * effects).reshape(2, 3).sum(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, MEANS])
def test_shifts_of_a_combination_add_and_none_is_no_change(
    small_vae: SmallPerturbedVae, changes: dict[str, Any]
) -> None:
    model = with_edges(small_vae(changes))
    with torch.no_grad():
        both, *each = model.shift(targets_of(["G00+G03", "G00", "G03"]), None).a
        torch.testing.assert_close(both, each[0] + each[1])
        for parameter in model.effects.parameters():
            parameter.zero_()
    assert not delta_of(model, MIXED).any()


def test_cells_predict_the_mean_change_of_each_control_cell(small_vae: SmallPerturbedVae) -> None:
    model = of_kind(CellVae, with_edges(small_vae()))
    b = torch.triu(of_kind(CausalGraph, model.latent_graph).edges, diagonal=1)
    inverse = torch.linalg.inv(torch.eye(3) - b)
    controls = DATASET.control_cells.expression(N_GENES).toarray()
    assert all((cell == controls).all(axis=1).any() for cell in model.cells.numpy())
    with torch.no_grad():
        a = model.shift(targets_of(MIXED), None).a
        latents = model.encode(model.cells).mean
        changes = []
        for shift in a:
            with_shift, without = (
                model.decode(latents[:, :2], (latents[:, 2:] + moved) @ inverse.T)
                for moved in (shift, torch.zeros(3))
            )
            changes.append((with_shift - without).mean(dim=0).numpy())
    assert np.abs(changes).max() > 0.01
    np.testing.assert_allclose(delta_of(model, MIXED), changes, rtol=1e-3, atol=1e-5)


def test_means_predict_the_change_of_the_mean_control(small_vae: SmallPerturbedVae) -> None:
    model = with_edges(small_vae(MEANS))
    control = torch.from_numpy(DATASET.shared.control_mean)[None]
    with torch.no_grad():
        z = model.encode(control).mean.expand(4, -1)
        moved = model.latent_graph(model.shift(targets_of(MIXED), None).a)
        expected = model.decode(z, moved) - model.decode(z, torch.zeros_like(moved))
    assert expected.abs().max() > 0.01
    np.testing.assert_allclose(delta_of(model, MIXED), expected.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rows", ["cells", "means"])
@pytest.mark.parametrize("changes", FORMS)
def test_every_parameter_is_taught_by_either_form(
    small_config: Config, changes: dict[str, Any], rows: str
) -> None:
    # Of batches, since what is encoded is less the mean control.
    settings = {"perturbed_vae.rows": rows, "data.control": "batch_mean"} | changes
    training = Training(small_config.with_changes(settings), DATASET, 0, CPU)
    objective = training.objective
    index = np.arange(len(objective.rows.perturbation_index))
    minibatch = objective.rows.minibatch(index, training.order_generator)
    losses, _ = minibatch_losses(training, minibatch)
    losses["loss_total"].backward()  # type: ignore[no-untyped-call]
    untaught = [
        name
        for name, p in training.network.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
    assert untaught == []
    assert np.isfinite(training.predict(MIXED)).all()


def test_control_cells_come_with_the_weights(small_vae: SmallPerturbedVae) -> None:
    model = small_vae()
    unsplit = small_vae(dataset=replace(DATASET, splits={}, control_cells=CellTable.empty()))
    assert not np.allclose(delta_of(unsplit, MIXED), delta_of(model, MIXED))
    unsplit.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(delta_of(unsplit, MIXED), delta_of(model, MIXED))
