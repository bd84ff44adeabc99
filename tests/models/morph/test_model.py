from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import SmallMorph
from fixtures.dataset import build_tiny_dataset, without_cells_and_controls
from fixtures.linear_effects import build_linear_dataset, error_beside_the_mean
from fixtures.narrowed import of_kind

from adapert.config import Config
from adapert.data.array_tables import CellTable
from adapert.models.morph.model import CellMorph, MeanMorph, Morph
from adapert.models.targets import build_targets
from adapert.training.loop import train_epoch
from adapert.training.objective import minibatch_losses
from adapert.training.prediction import predict
from adapert.training.state import Training

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]
MEANS = {"morph.rows": "means"}


def delta_of(model: Morph) -> np.ndarray:
    return predict(model, DATASET, MIXED, CPU)


def test_the_form_follows_what_the_data_hold(small_morph: SmallMorph) -> None:
    assert isinstance(small_morph(), CellMorph)
    assert isinstance(small_morph(MEANS), MeanMorph)
    assert isinstance(small_morph(dataset=without_cells_and_controls(DATASET)), MeanMorph)


@pytest.mark.parametrize("changes", [{}, MEANS])
def test_a_perturbation_of_no_effect_is_no_change(small_morph: SmallMorph, changes: dict[str, Any]) -> None:
    model = small_morph(changes)
    assert np.abs(delta_of(model)).max() > 1e-3
    with torch.no_grad():
        for parameter in model.text.second.parameters():
            parameter.zero_()
    np.testing.assert_allclose(delta_of(model), 0, atol=1e-6)


def test_a_prediction_is_the_mean_over_control_cells_with_less_without_the_perturbation(
    small_morph: SmallMorph,
) -> None:
    model = of_kind(CellMorph, small_morph())
    decode = torch.nn.Sequential(model.decoder, torch.nn.LeakyReLU(0.2))
    with torch.no_grad():
        posterior = model.infer(model.cells)
        z = posterior.mean + torch.exp(posterior.log_variance / 2) * model.noise
        changes = []
        for effect in model.text(build_targets(DATASET, MIXED, CPU)):
            with_effect, without = (
                torch.cat([z, each.expand(256, -1)], dim=1) for each in (effect, torch.zeros(4))
            )
            for layer in model.layers:
                with_effect, without = (layer(q, model.programs) for q in (with_effect, without))
            changes.append((decode(with_effect) - decode(without)).mean(dim=0).numpy())
    np.testing.assert_allclose(delta_of(model), changes, rtol=1e-4, atol=1e-5)


def test_means_predict_what_programs_make_of_the_mean_control(small_morph: SmallMorph) -> None:
    model = small_morph(MEANS | {"morph.n_layers": 0})
    with torch.no_grad():
        effect = model.text(build_targets(DATASET, MIXED, CPU))
    # Without attention the latents of control and perturbation only add up.
    expected = effect @ model.decoder.weight[:, 3:].T
    np.testing.assert_allclose(delta_of(model), expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    deep = small_morph(MEANS)
    assert not np.allclose(delta_of(deep), delta_of(model), atol=1e-3)


@pytest.mark.parametrize("rows", ["cells", "means"])
@pytest.mark.parametrize("changes", [{}, {"morph.n_layers": 0}, {"data.embeddings": "none"}])
def test_every_parameter_is_taught_by_either_form(
    small_config: Config, changes: dict[str, Any], rows: str
) -> None:
    # Of batches, since what is encoded is less the mean control.
    settings = {"morph.rows": rows, "data.control": "batch_mean"} | changes
    training = Training(small_config.with_changes(settings), DATASET, 0, CPU)
    all_rows = training.objective.rows
    index = np.arange(len(all_rows.perturbation_index))
    losses, _ = minibatch_losses(training, all_rows.minibatch(index, training.order_generator))
    losses["loss_total"].backward()  # type: ignore[no-untyped-call]
    untaught = {
        name
        for name, p in training.network.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    }
    expected: set[str] = set()
    if (
        "morph.n_layers" in changes
    ):  # nothing attends to programs, and z adds to both sides of a mean's change
        encoder = {
            f"encoder.{name}" for name, _ in of_kind(Morph, training.network).encoder.named_parameters()
        }
        expected = {"programs"} | (encoder if rows == "means" else set())
    elif changes:  # of no gene anything is known: every perturbation has the same latents
        expected = {f"text.{name}" for name in ("tables.0.absent", "projections.0.weight", "bias")}
        expected |= {"text.second.weight"}
    assert untaught == expected


def test_control_cells_and_their_noise_come_with_the_weights(small_morph: SmallMorph) -> None:
    model = small_morph()
    unsplit = small_morph(dataset=replace(DATASET, splits={}, control_cells=CellTable.empty()))
    unsplit.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(delta_of(unsplit), delta_of(model))


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "n_epochs"), [("cells", 6), ("means", 12)])
def test_responses_of_unseen_genes_are_recovered(rows: str, n_epochs: int) -> None:
    dataset = build_linear_dataset()
    settings = {
        "model.name": "morph",
        "morph.rows": rows,
        "morph.beta": 0.01,
        "morph.set_size": 16,
        "morph.ramp_epochs": 0,
        "training.minibatch_size": 4,
        "training.learning_rate": 3e-3,
    }
    training = Training(Config().with_changes(settings), dataset, 0, CPU)
    for _ in range(n_epochs):
        train_epoch(training)
    predicted = training.predict(dataset.splits["validation"].table.perturbations.tolist())
    assert error_beside_the_mean(dataset, predicted) < 0.4
