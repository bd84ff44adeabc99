"""Training as a GPU has it, on the meta device: it computes shapes alone, and a read of it is an error."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.configs import SMALL_ADAPERT
from fixtures.exhaustive import few_fast

from adapert.config import Config
from adapert.training.loop import run_alone
from adapert.training.slots import Slots
from adapert.training.state import Training
from benchmarks.slots import CountedCalls

CPU, META = torch.device("cpu"), torch.device("meta")

NO_MESSAGES = {"model.n_graph_layers": 0}
"""The meta device has no sparse products."""

STEP_CALLS = 314
"""Of the losses and gradients of a step, whatever the number of slots."""

DRAWS = 3
"""Of each slot: noise, and two dropouts. Its optimiser's two calls come on top."""

WITHOUT_A_KERNEL = ("empty", "_unsafe_view")
"""Calls that a GPU has nothing to do for."""

FORMS: list[dict[str, Any]] = [
    {},
    {"training.weight_averaging": 0.9, "model.n_heads": 2},
    {"model.selection": "top_k", "model.score_activation": "relu"},
    {"loss.alignment": "contrastive", "model.predict": "expression"},
    {"model.context": "neighbourhood", "model.own_embedding": "none"},
    {"model.node_features": "text+diffused", "model.own_embedding": "features", "model.output_basis": 4},
    {"model.name": "perturbed_vae", "perturbed_vae.rows": "means"},
]


def on_meta(new_training: NewTraining, changes: Mapping[str, Any], n_trials: int = 1) -> list[Training]:
    """Build trials on the meta device; it has no fused AdamW either, which `Training` knows."""
    return [
        new_training(NO_MESSAGES | dict(changes) | {"model.tau": 0.4 + seed}, seed=seed, device=META)
        for seed in range(n_trials)
    ]


def assert_that_only_the_end_of_an_epoch_is_read(error: pytest.ExceptionInfo[NotImplementedError]) -> None:
    """What is read last is all that an epoch left: before it nothing was."""
    assert "read_together" in [entry.name for entry in error.traceback]


@pytest.mark.parametrize(
    "form", few_fast([*FORMS, {"loss.alignment": "paper"}, {"data.control": "batch_mean"}], 3)
)
def test_an_epoch_with_its_validation_reads_the_device_once(
    new_training: NewTraining, form: Mapping[str, Any]
) -> None:
    (training,) = on_meta(new_training, form)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor") as error:
        run_alone(training)
    assert_that_only_the_end_of_an_epoch_is_read(error)


@pytest.mark.parametrize("form", few_fast(FORMS, 2))
def test_an_epoch_of_slots_reads_the_device_once_for_all(
    new_training: NewTraining, form: Mapping[str, Any]
) -> None:
    slots = Slots(on_meta(new_training, form, n_trials=3))
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor") as error:
        slots.train_epoch()
    assert_that_only_the_end_of_an_epoch_is_read(error)


def count_step(trainings: Sequence[Training]) -> int:
    """Count what losses and gradients of a minibatch of each slot ask a device to compute."""
    slots = Slots(trainings)
    index = slots.draw_order()[0]
    with CountedCalls() as counted:
        slots.gradients(slots.compute_losses(index))
    return sum(n for name, n in counted.calls.items() if name not in WITHOUT_A_KERNEL)


@pytest.mark.parametrize("n_slots", [1, 8])
def test_a_step_of_slots_asks_a_gpu_for_few_calls(new_training: NewTraining, n_slots: int) -> None:
    changes = {name: Config().flat()[name] for name in SMALL_ADAPERT} | {"training.minibatch_size": 64}

    def slots(device: torch.device, n_layers: int) -> list[Training]:
        layers = {"model.n_graph_layers": n_layers}
        own = [{"model.tau": 0.4 + seed} for seed in range(n_slots)]
        return [new_training(changes | layers | each, seed=s, device=device) for s, each in enumerate(own)]

    # The meta device has no sparse products.
    n_messages = count_step(slots(CPU, 2)) - count_step(slots(CPU, 0))
    assert count_step(slots(META, 0)) + n_messages <= STEP_CALLS + DRAWS * n_slots
