"""Checkpoints of a trial in training: tensors in safetensors, the rest in JSON, never pickle."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapert.errors import InputError
from adapert.files import whole_file, write_whole
from adapert.training.state import BestEpoch, Training

TENSORS_FILE = "checkpoint.safetensors"
STATE_FILE = "checkpoint.json"


def write_checkpoint(training: Training, directory: Path) -> None:
    """Write all that the next epoch depends on: weights, moments, generators, position, best epoch."""
    tensors = {
        **_prefixed("model", training.model.state_dict()),
        **_prefixed("target_head", training.target_head.state_dict()),
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
        "epoch": training.epoch,
        "order_generator": training.order_generator.bit_generator.state,
        "best": {
            "epoch": training.best.epoch,
            # JSON has no infinities or NaN.
            "pearson_delta": _finite_or_none(training.best.pearson_delta),
            "pds": _finite_or_none(training.best.pds),
        },
    }
    write_weights(tensors, directory / TENSORS_FILE)
    write_whole(directory / STATE_FILE, json.dumps(state, indent=2))


def restore_checkpoint(training: Training, directory: Path) -> None:
    """Bring a freshly built training to where a checkpoint was written.

    Raises:
        InputError: The checkpoint is of another config or seed.
    """
    state: dict[str, Any] = json.loads((directory / STATE_FILE).read_text())
    own, found = (training.config.digest(), training.seed), (state["config_digest"], state["seed"])
    if own != found:
        raise InputError(
            f"A checkpoint must be of the trial's config {own[0]} and seed {own[1]}, but '{directory}' is of "
            f"config {found[0]} and seed {found[1]}."
        )
    tensors = load_file(directory / TENSORS_FILE, device=str(training.device))
    training.model.load_state_dict(_with_prefix("model", tensors))
    training.target_head.load_state_dict(_with_prefix("target_head", tensors))
    optimizer = training.optimizer.state_dict()
    optimizer["state"] = _optimizer_state(tensors)
    training.optimizer.load_state_dict(optimizer)
    training.generator.set_state(tensors["generator"].cpu())
    training.order_generator.bit_generator.state = state["order_generator"]
    training.epoch = state["epoch"]
    best = state["best"]
    training.best = BestEpoch(
        best["epoch"],
        -math.inf if best["pearson_delta"] is None else best["pearson_delta"],
        math.nan if best["pds"] is None else best["pds"],
        _with_prefix("best", tensors),
    )


def write_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all."""
    with whole_file(path) as beside:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, beside)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _optimizer_state(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix("optimizer", tensors).items():
        parameter, moment = name.split("/")
        # The step counter stays where AdamW keeps it; fused AdamW keeps it on the parameter's device.
        state.setdefault(int(parameter), {})[moment] = torch.as_tensor(value)
    return state


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
