import numpy as np
import pytest
import torch
from fixtures.dataset import build_tiny_dataset
from fixtures.narrowed import of_kind

from adapert.config import Config
from adapert.models.discrepancies import squared_mmd
from adapert.models.morph.model import MorphPrediction
from adapert.models.morph.objective import MorphObjective
from adapert.training.loop import train_epoch
from adapert.training.objective import minibatch_losses
from adapert.training.state import Training

DATASET = build_tiny_dataset()


def test_the_loss_is_the_sum_of_its_terms_whose_weights_rise_with_the_steps(small_config: Config) -> None:
    changes = {"morph.alpha": 3.0, "morph.beta": 0.5, "morph.ramp_epochs": 2, "training.minibatch_size": 4}
    training = Training(small_config.with_changes(changes), DATASET, 0, torch.device("cpu"))
    objective = of_kind(MorphObjective, training.objective)
    index = np.arange(3)
    minibatch = objective.rows.minibatch(index, training.order_generator)
    losses, found = minibatch_losses(training, minibatch)
    prediction = of_kind(MorphPrediction, found)
    control = torch.from_numpy(minibatch.control)
    expected = {"loss_perturbed": 0.0, "loss_control": 0.0}
    for each in index:
        own = slice(5 * each, 5 * each + 5)
        weight = float(objective.rows.weight[each]) / len(index)
        predicted = control[own] + prediction.delta[own]
        observed = control[own] + torch.from_numpy(minibatch.target_delta[own])
        expected["loss_perturbed"] += weight * squared_mmd(predicted, observed).item()
        expected["loss_control"] += weight * squared_mmd(prediction.reconstructed[each], control[own]).item()
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-3)
    kl = prediction.divergence.mean().item()
    n_sets = len(objective.rows.perturbation_index)
    share = 1 / (2 * -(-n_sets // 4))
    total = expected["loss_control"] + share * (3 * expected["loss_perturbed"] + 0.5 * kl)
    assert losses["loss_total"].item() == pytest.approx(total, rel=1e-3)
    # Whoever computes a loss in training takes a step.
    batches = [minibatch_losses(training, minibatch)[0] for _ in range(-(-n_sets // 4) * 2)]
    last = {name: value.item() for name, value in batches[-1].items()}
    risen = last["loss_control"] + 3 * last["loss_perturbed"] + 0.5 * last["loss_kl"]
    assert last["loss_total"] == pytest.approx(risen, rel=1e-4)


def test_without_a_ramp_the_weights_are_there_from_the_first_step(small_config: Config) -> None:
    training = Training(small_config.with_changes({"morph.ramp_epochs": 0}), DATASET, 0, torch.device("cpu"))
    losses = train_epoch(training).losses
    whole = losses["loss_control"] + 2 * losses["loss_perturbed"] + 2 * losses["loss_kl"]
    assert losses["loss_total"] == pytest.approx(whole, rel=1e-4)
