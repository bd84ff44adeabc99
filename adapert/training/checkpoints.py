"""Checkpoints of a trial in training: tensors in safetensors, the rest in JSON, never pickle."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, NonNegativeInt, PositiveFloat
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapert.errors import InputError, name_some
from adapert.files import parse_json, whole_file, write_whole
from adapert.training.state import NO_SCORES, BestEpoch, Training

TENSORS_FILE = "checkpoint.safetensors"
STATE_FILE = "checkpoint.json"


def write_checkpoint(training: Training, directory: Path) -> None:
    """Write all that the next epoch depends on: weights, moments, generators, position, best epoch."""
    tensors = {
        **_prefixed("network", training.network.state_dict()),
        **_prefixed("objective", training.objective.state_dict()),
        **_prefixed("averaged", _averaged(training)),
        **_prefixed("best", training.best.weights),
        **{
            f"optimizer/{parameter}/{name}": value
            for parameter, moments in training.optimizer.state_dict()["state"].items()
            for name, value in moments.items()
        },
        "generator": training.generator.get_state(),
    }
    state = {
        "config_digest": training.config.digest(),
        "seed": training.seed,
        "rates": training.rates,
        "order_generator": training.order_generator.bit_generator.state,
        "best": {
            "epoch": training.best.epoch,
            # JSON has no infinities or NaN: what is left out is as in `NO_SCORES`.
            "scores": {name: score for name, score in training.best.scores.items() if math.isfinite(score)},
        },
    }
    write_weights(tensors, directory / TENSORS_FILE)
    write_whole(directory / STATE_FILE, json.dumps(state, indent=2))


def restore_checkpoint(training: Training, directory: Path) -> None:
    """Bring a freshly built training to where a checkpoint was written.

    All is read and checked before anything is changed: a training that is refused a checkpoint is as it was.

    Raises:
        InputError: The checkpoint is of another config or seed, or damaged.
    """
    file = directory / STATE_FILE
    try:
        state = _State.model_validate(parse_json(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise _unsound(file, "is missing or damaged") from error
    own, found = (training.config.digest(), training.seed), (state.config_digest, state.seed)
    if own != found:
        raise InputError(
            f"A checkpoint must be of the trial's config {own[0]} and seed {own[1]}, but '{directory}' is of "
            f"config {found[0]} and seed {found[1]}."
        )
    tensors = read_weights(directory / TENSORS_FILE, training.device)
    moments = _read_moments(training, tensors, directory)
    _check_generators(training, tensors, state, directory)
    network, objective, averaged, best = (
        _with_prefix(part, tensors) for part in ("network", "objective", "averaged", "best")
    )
    expected = training.network.state_dict()
    check_weights(network, expected, directory)
    check_weights(best, expected if best else {}, directory)
    check_weights(objective, training.objective.state_dict(), directory)
    check_weights(averaged, _averaged(training), directory)
    training.network.load_state_dict(network)
    training.objective.load_state_dict(objective)
    if training.averaged is not None:
        training.averaged.load_state_dict(averaged)
    training.optimizer.load_state_dict(training.optimizer.state_dict() | {"state": moments})
    # torch takes a generator's state from the CPU alone, wherever the generator is.
    training.generator.set_state(tensors["generator"].cpu())
    training.order_generator.bit_generator.state = state.order_generator
    training.rates = state.rates
    training.best = BestEpoch(state.best.epoch, NO_SCORES | state.best.scores, best)


def read_weights(path: Path, device: torch.device | None = None) -> dict[str, Tensor]:
    """Read tensors from safetensors.

    Raises:
        InputError: A file that is missing or damaged, or numbers that are not finite.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path, device=str(device or "cpu"))
    # A type that torch has not is a KeyError, a size beyond any memory a ValueError or RuntimeError.
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        raise _unsound(path, "is missing or damaged") from error
    bad = [
        name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    if bad:
        raise _unsound(path, f"has values that are no finite numbers in {name_some(bad)}")
    return tensors


def check_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], place: Path | str) -> None:
    """Compare names, shapes and types of tensors with those of the model that is to have them.

    Raises:
        InputError: They differ.
    """
    if names := found.keys() ^ expected.keys():
        raise _unsound(place, f"has not the tensors of the config's model: {name_some(sorted(names), 3)}")
    for name, tensor in expected.items():
        if (found[name].shape, found[name].dtype) != (tensor.shape, tensor.dtype):
            raise _unsound(
                place,
                f"has '{name}' as {found[name].dtype} of {tuple(found[name].shape)}, where the config's "
                f"model has {tensor.dtype} of {tuple(tensor.shape)}",
            )


def write_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all."""
    with whole_file(path) as beside:
        # safetensors refuses tensors that are views of others.
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, beside)


def _averaged(training: Training) -> dict[str, Tensor]:
    return {} if training.averaged is None else training.averaged.state_dict()


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


class _Best(BaseModel):
    epoch: NonNegativeInt
    scores: dict[str, float]


class _State(BaseModel):
    config_digest: str
    seed: int
    rates: list[PositiveFloat]
    order_generator: dict[str, Any]
    best: _Best


def _read_moments(
    training: Training, tensors: dict[str, Tensor], place: Path
) -> dict[int, dict[str, Tensor]]:
    """Read the optimiser's state: of each parameter two moments of its shape, and a number of steps."""
    parameters = training.optimizer.param_groups[0]["params"]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix("optimizer", tensors).items():
        number, _, moment = name.partition("/")
        is_known = number.isdecimal() and int(number) < len(parameters)
        if not is_known or value.shape != (() if moment == "step" else parameters[int(number)].shape):
            raise _unsound(place, f"has an optimiser's '{name}' that fits no parameter")
        # The step counter stays where AdamW keeps it; fused AdamW keeps it on the parameter's device.
        state.setdefault(int(number), {})[moment] = value
    if any(moments.keys() != {"step", "exp_avg", "exp_avg_sq"} for moments in state.values()):
        raise _unsound(place, "lacks some of the optimiser's state")
    return state


def _check_generators(training: Training, tensors: Mapping[str, Tensor], state: _State, place: Path) -> None:
    """Set the states of generators that nobody uses, which take no others than ours do."""
    try:
        torch.Generator(training.device).set_state(tensors["generator"].cpu())
        type(training.order_generator.bit_generator)().state = state.order_generator
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise _unsound(place, "has no state of the generators") from error


def _unsound(place: Path | str, fault: str) -> InputError:
    return InputError(
        f"Weights must be whole and of the config's model, but '{place}' {fault}. Copy the file again, or "
        "run the trial again."
    )
