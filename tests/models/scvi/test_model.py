from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import SmallScvi
from fixtures.dataset import N_GENES, build_tiny_dataset, hold_out_combinations

from adapert.config import Config
from adapert.data import row_chunks
from adapert.data.array_tables import CellTable
from adapert.data.corrected_cells import CorrectedCells
from adapert.models.scvi.model import Scvi
from adapert.training.loop import train
from adapert.training.objective import minibatch_losses
from adapert.training.prediction import predict
from adapert.training.state import Training

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]


def delta_of(model: Scvi, perturbations: list[str]) -> np.ndarray:
    return predict(model, DATASET, perturbations, CPU)


def latents_of(model: Scvi, cells: CellTable) -> np.ndarray:
    with torch.no_grad():
        expression = CorrectedCells(cells, DATASET.shared).take(slice(None))
        return model.eval().encode(torch.from_numpy(expression).float()).mean.numpy()


def test_a_shift_is_the_difference_of_the_means_of_latents(small_scvi: SmallScvi) -> None:
    model, split = small_scvi(), DATASET.splits["train"]
    control = latents_of(model, DATASET.control_cells).mean(axis=0)
    perturbed = latents_of(model, split.cells)
    expected = [
        perturbed[split.cells.perturbation_index == number].mean(axis=0) - control
        for number in range(len(split.table.perturbations))
    ]
    np.testing.assert_allclose(model.measure_shifts(DATASET), expected, rtol=1e-4, atol=1e-6)


def test_shifts_are_measured_a_few_cells_at_a_time(
    small_scvi: SmallScvi, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_scvi()
    at_once = model.measure_shifts(DATASET)
    encode, sizes = model.encode, []

    def watch(profiles: torch.Tensor) -> Any:
        sizes.append(profiles.numel())
        return encode(profiles)

    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", 3 * N_GENES + 1)
    monkeypatch.setattr(model, "encode", watch)
    np.testing.assert_allclose(model.measure_shifts(DATASET), at_once, atol=1e-6)
    assert max(sizes) == 3 * N_GENES
    n_cells = len(DATASET.splits["train"].cells) + len(DATASET.control_cells)
    assert sum(sizes) == n_cells * N_GENES


def test_a_prediction_is_the_mean_change_of_control_cells(small_scvi: SmallScvi) -> None:
    model = small_scvi()
    assert not delta_of(model, MIXED).any()  # before any epoch there is no shift
    model.after_epoch(DATASET)
    effects = model.effects.effects
    shifts = [effects[[0, 3]].sum(0), effects[14], effects[7], effects[[2, 5, 13]].sum(0)]
    with torch.no_grad():
        z = model.encode(model.cells).mean
        expected = [(model.decode(z + shift) - model.decode(z)).mean(0).numpy() for shift in shifts]
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(delta_of(model, MIXED), expected, rtol=1e-4, atol=1e-6)


def test_without_text_genes_that_training_does_not_perturb_are_predicted_alike(small_scvi: SmallScvi) -> None:
    unseen = np.setdiff1d(np.arange(DATASET.n_nodes), small_scvi().effects.trained)
    names = DATASET.shared.node_names[unseen].tolist()
    assert len(names) > 1
    for choice, is_alike in (("mean", True), ("text", False)):
        model = small_scvi({"scvi.unseen": choice})
        model.after_epoch(DATASET)
        predicted = delta_of(model, names)
        assert np.allclose(predicted, predicted[0], atol=1e-6) == is_alike


def test_predictions_start_from_corrected_control_cells(small_scvi: SmallScvi) -> None:
    controls = CorrectedCells(DATASET.control_cells, DATASET.shared).take(slice(None))
    distinct = {tuple(cell) for cell in controls.astype(np.float32)}
    assert {tuple(cell) for cell in small_scvi().cells.numpy()} <= distinct


def test_shifts_and_control_cells_come_with_the_weights(small_scvi: SmallScvi) -> None:
    model = small_scvi({"scvi.unseen": "text"})
    model.after_epoch(DATASET)
    no_batches = replace(
        DATASET.shared, batches=DATASET.shared.batches[:0], batch_control_mean=np.zeros((0, N_GENES))
    )
    bare = replace(DATASET, splits={}, control_cells=CellTable.empty(), shared=no_batches)
    restored = small_scvi({"scvi.unseen": "text"}, bare)
    restored.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(delta_of(restored, MIXED), delta_of(model, MIXED))


def test_averaged_weights_predict_with_shifts_of_their_own(small_config: Config) -> None:
    config = small_config.with_changes({"training.weight_averaging": 0.9, "training.max_epochs": 1})
    training = Training(config, DATASET, 0, CPU)
    list(train(training))
    predictor = training.predictor
    assert isinstance(predictor, Scvi)
    assert predictor is not training.network
    measured = predictor.effects.effects.clone()
    predictor.after_epoch(DATASET)
    assert torch.equal(predictor.effects.effects, measured)
    assert measured.any()


def test_a_single_gene_and_a_combination_are_predicted_of_training_on_single_genes(
    small_scvi: SmallScvi,
) -> None:
    dataset = hold_out_combinations()
    model = small_scvi(dataset=dataset)
    model.after_epoch(dataset)
    asked = dataset.splits["test"].table.perturbations.tolist()
    first, second = asked[0].split("+")
    effects, nodes = model.effects.effects, dataset.perturbed_nodes(asked[0])
    shifts = model.measure_shifts(dataset)
    names = dataset.splits["train"].table.perturbations.tolist()
    alone = dict(zip(names, shifts, strict=True))
    np.testing.assert_allclose(effects[nodes].sum(0), alone[first] + alone[second], rtol=1e-5)


def test_every_parameter_is_taught(small_config: Config) -> None:
    training = Training(small_config.with_changes({"scvi.n_layers": 2}), DATASET, 0, CPU)
    rows = training.objective.rows
    minibatch = rows.minibatch(np.arange(len(rows.perturbation_index)), training.order_generator)
    losses, _ = minibatch_losses(training, minibatch)
    losses["loss_total"].backward()  # type: ignore[no-untyped-call]
    untaught = [
        name
        for name, p in training.network.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert untaught == []
