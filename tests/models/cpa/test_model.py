from dataclasses import replace

import numpy as np
import torch
from fixtures.builders import SmallCpa
from fixtures.dataset import N_GENES, build_tiny_dataset
from fixtures.narrowed import of_kind

from adapert.config import Config
from adapert.data.array_tables import CellTable
from adapert.models.cpa.model import Cpa, CpaPrediction
from adapert.models.targets import build_targets
from adapert.training.loop import train
from adapert.training.objective import minibatch_losses
from adapert.training.prediction import predict
from adapert.training.state import Training

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]


def with_effects(model: Cpa) -> Cpa:
    torch.nn.init.normal_(model.gene_effects, generator=torch.Generator().manual_seed(0))
    model.after_epoch(DATASET)
    return model


def delta_of(model: Cpa, perturbations: list[str]) -> np.ndarray:
    return predict(model, DATASET, perturbations, CPU)


def test_a_cell_is_decoded_with_the_effects_of_its_genes_and_a_control_cell_without(
    small_cpa: SmallCpa,
) -> None:
    model = with_effects(small_cpa())
    targets = build_targets(DATASET, MIXED, CPU)
    control = torch.rand(2, N_GENES, generator=torch.Generator().manual_seed(1))
    delta = torch.rand(2, N_GENES, generator=torch.Generator().manual_seed(2))
    rows = torch.arange(2)
    with torch.no_grad():
        found = model.forward_in_training(targets, rows + 2, control, rows, delta, torch.Generator())
        e = model.gene_effects
        effect = torch.stack([e[7], e[2] + e[5] + e[13]])
        expected = model.decode(model.encode(control + delta) + effect)
        torch.testing.assert_close(found.reconstructed[:2], expected)
        torch.testing.assert_close(found.reconstructed[2:], model.decode(model.encode(control)))
        torch.testing.assert_close(found.basal, model.encode(torch.cat([control + delta, control])))
        torch.testing.assert_close(found.delta, expected - control)


def test_a_prediction_is_the_mean_change_of_control_cells(small_cpa: SmallCpa) -> None:
    assert not delta_of(small_cpa(), MIXED).any()  # before any epoch there is no effect
    model = with_effects(small_cpa())
    effects = model.effects.effects
    shifts = [effects[[0, 3]].sum(0), effects[14], effects[7], effects[[2, 5, 13]].sum(0)]
    with torch.no_grad():
        z = model.encode(model.cells)
        expected = [(model.decode(z + shift) - model.decode(z)).mean(0).numpy() for shift in shifts]
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(delta_of(model, MIXED), expected, rtol=1e-4, atol=1e-6)


def test_predictions_have_the_learned_effects_and_the_mean_of_them_for_other_genes(
    small_cpa: SmallCpa,
) -> None:
    model = with_effects(small_cpa())
    trained = model.effects.trained
    others = np.setdiff1d(np.arange(DATASET.n_nodes), trained)
    learned = model.gene_effects.detach()[trained]
    assert len(others) > 1
    torch.testing.assert_close(model.effects.effects[trained], learned)
    expected = learned.mean(dim=0).expand(len(others), -1)
    torch.testing.assert_close(model.effects.effects[others], expected)


def test_effects_and_control_cells_come_with_the_weights(small_cpa: SmallCpa) -> None:
    model = with_effects(small_cpa({"cpa.unseen": "text"}))
    no_batches = replace(
        DATASET.shared, batches=DATASET.shared.batches[:0], batch_control_mean=np.zeros((0, N_GENES))
    )
    bare = replace(DATASET, splits={}, control_cells=CellTable.empty(), shared=no_batches)
    restored = small_cpa({"cpa.unseen": "text"}, bare)
    restored.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(delta_of(restored, MIXED), delta_of(model, MIXED))


def test_training_teaches_every_parameter_and_the_genes_that_it_perturbs(small_config: Config) -> None:
    config = small_config.with_changes({"training.max_epochs": 1, "training.weight_decay": 0.0})
    training = Training(config, DATASET, 0, CPU)
    list(train(training))  # effects begin at 0
    rows = training.objective.rows
    minibatch = rows.minibatch(np.arange(len(rows.perturbation_index)), training.order_generator)
    losses, found = minibatch_losses(training, minibatch)
    training.optimizer.zero_grad()
    losses["loss_total"].backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in training.parameters())
    model = of_kind(Cpa, training.network)
    moved = torch.nonzero(model.gene_effects.abs().sum(dim=1)).squeeze(1)
    assert moved.tolist() == model.effects.trained.tolist()
    assert of_kind(CpaPrediction, found).observed == {}
