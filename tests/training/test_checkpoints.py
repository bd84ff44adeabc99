import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.exhaustive import few_fast
from safetensors.torch import load_file

from adapert.errors import InputError
from adapert.evaluation.catalogue import metrics_of_epochs
from adapert.training.checkpoints import read_weights, restore_checkpoint, write_checkpoint, write_weights
from adapert.training.loop import train
from adapert.training.state import Training

FORMS = [
    {},
    {"data.control": "cell", "training.schedule": "cosine", "training.minibatch_size": 16},
    {"training.schedule": "plateau", "training.plateau_patience": 0, "training.learning_rate": 0.1},
    {"loss.alignment": "paper", "model.context": "random"},
    {"model.context": "constant", "loss.alignment": "contrastive"},
    {"graph.edges": "rewired", "data.text_embedding": "shuffled"},
    {"training.weight_averaging": 0.9, "training.kept_epoch": "last", "model.n_heads": 2},
    {
        "model.node_features": "text+spectral+diffused",
        "model.own_embedding": "features",
        "model.output_basis": 4,
        "model.decoder_layers": 2,
    },
    {"model.name": "txpert", "data.control": "cell", "training.minibatch_size": 16},
    {"model.name": "txpert", "training.weight_averaging": 0.9},
    {"model.name": "gears", "gears.direction": "tanh", "training.weight_averaging": 0.9},
    {"model.name": "txpert", "txpert.layer": "gat", "txpert.basal": "none", "txpert.skip": "add"},
    {"model.name": "scvi", "training.weight_averaging": 0.9, "training.minibatch_size": 16},
]


def results_of(training: Training) -> list[dict[str, float]]:
    reports = [report.flat() for report in train(training)]
    for report in reports:
        del report["seconds"]
    return reports


@pytest.mark.parametrize("changes", few_fast(FORMS, 3))
def test_stopped_and_restored_training_equals_an_unbroken_one(
    new_training: NewTraining, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = changes | {"training.max_epochs": 3}
    unbroken, stopped = new_training(changes), new_training(changes)
    expected = results_of(unbroken)
    for n_epochs, _ in zip((1, 2), train(stopped), strict=False):
        write_checkpoint(stopped, tmp_path)
        restored = new_training(changes)
        restore_checkpoint(restored, tmp_path)
        assert results_of(restored) == expected[n_epochs:]
        assert restored.best.epoch == unbroken.best.epoch
        assert restored.best.scores == unbroken.best.scores
        for name, weights in unbroken.best.weights.items():
            assert torch.equal(restored.best.weights[name], weights)
        for name, weights in unbroken.network.state_dict().items():
            assert torch.equal(restored.network.state_dict()[name], weights)


def test_writing_a_checkpoint_changes_nothing(new_training: NewTraining, tmp_path: Path) -> None:
    expected = results_of(new_training())
    watched, reports = new_training(), []
    for report in train(watched):
        write_checkpoint(watched, tmp_path)
        reports.append(report.losses | report.validation)
    assert all(report.items() <= full.items() for report, full in zip(reports, expected, strict=True))


def test_checkpoint_before_any_epoch_has_no_best(new_training: NewTraining, tmp_path: Path) -> None:
    write_checkpoint(new_training(), tmp_path)
    restored = new_training()
    restore_checkpoint(restored, tmp_path)
    assert restored.best.scores.keys() == set(metrics_of_epochs())
    assert restored.best.scores["pearson_delta"] == -math.inf
    assert math.isnan(restored.best.scores["pds"])
    assert restored.best.weights == {}
    assert results_of(restored) == results_of(new_training())


def test_checkpoint_of_the_last_epoch_is_over(new_training: NewTraining, tmp_path: Path) -> None:
    done = new_training()
    list(train(done))
    write_checkpoint(done, tmp_path)
    restored = new_training()
    restore_checkpoint(restored, tmp_path)
    assert restored.is_over
    assert list(train(restored)) == []


@pytest.mark.parametrize(("changes", "seed"), [({"model.tau": 2.0}, 0), ({}, 1)])
def test_checkpoint_of_another_config_or_seed_is_refused(
    new_training: NewTraining, tmp_path: Path, changes: dict[str, float], seed: int
) -> None:
    written, other = new_training(), new_training(changes, seed=seed)
    write_checkpoint(written, tmp_path)
    own, found = other.config.digest(), written.config.digest()
    message = f"must be of the trial's config {own} and seed {seed}, but .* is of config {found} and seed 0"
    with pytest.raises(InputError, match=message):
        restore_checkpoint(other, tmp_path)


def test_checkpoint_is_found_wherever_the_data_lie(new_training: NewTraining, tmp_path: Path) -> None:
    write_checkpoint(new_training({"data.path": "/here"}), tmp_path)
    moved = new_training({"data.path": "/there"})
    restore_checkpoint(moved, tmp_path)
    assert results_of(moved) == results_of(new_training())


@pytest.mark.parametrize("changes", FORMS)
def test_files_are_safetensors_and_json_only(
    new_training: NewTraining, tmp_path: Path, changes: dict[str, str]
) -> None:
    training = new_training(changes)
    next(train(training))
    write_checkpoint(training, tmp_path)
    write_weights(training.best.weights, tmp_path / "weights.safetensors")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint.json", "checkpoint.safetensors", "weights.safetensors"]
    json.loads((tmp_path / "checkpoint.json").read_text(), parse_constant=pytest.fail)
    for name in names[1:]:
        assert load_file(tmp_path / name)
        header = (tmp_path / name).read_bytes()
        assert header[8:9] == b"{"  # safetensors: 8 bytes of length, then JSON; pickles start otherwise
    restored = load_file(tmp_path / "weights.safetensors")
    training.network.load_state_dict(restored)


def state_of(training: Training) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in training.network.state_dict().items()}


def change_tensors(directory: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(directory / "checkpoint.safetensors")
    change(tensors)
    write_weights(tensors, directory / "checkpoint.safetensors")


def change_state(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = directory / "checkpoint.json"
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))


def first(tensors: dict[str, torch.Tensor], start: str) -> str:
    return next(name for name in tensors if name.startswith(start))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.pop(first(t, "network/")), "has not the tensors of the config's model"),
        (
            lambda t: t.update({"network/more": torch.zeros(1)}),
            "has not the tensors of the config's model: 'more'",
        ),
        (lambda t: t.update({first(t, "best/"): torch.zeros(1)}), r"as torch.float32 of \(1,\), where"),
        (lambda t: t["network/context_norm.weight"].fill_(math.nan), "values that are no finite numbers"),
        (lambda t: t.pop(first(t, "optimizer/")), "lacks some of the optimiser's state"),
        (lambda t: t.update({"optimizer/999/step": torch.tensor(1.0)}), "fits no parameter"),
        (lambda t: t.update({"optimizer/x": torch.tensor(1.0)}), "fits no parameter"),
        (lambda t: t.pop("generator"), "no state of the generators"),
        (lambda t: t.update({"generator": torch.zeros(3, dtype=torch.uint8)}), "no state of the generators"),
    ],
)
def test_a_damaged_checkpoint_leaves_a_training_as_it_was(
    new_training: NewTraining, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], object], fault: str
) -> None:
    trained = new_training()
    next(train(trained))
    write_checkpoint(trained, tmp_path)
    change_tensors(tmp_path, change)
    fresh = new_training()
    before = state_of(fresh)
    with pytest.raises(InputError, match=fault):
        restore_checkpoint(fresh, tmp_path)
    assert all(torch.equal(before[name], value) for name, value in fresh.network.state_dict().items())
    assert (fresh.epoch, fresh.best.epoch) == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("best"),
        lambda state: state.update(rates=[-1]),
        lambda state: state.update(rates="x"),
        lambda state: state.update(order_generator={"bit_generator": "MT19937"}),
        lambda state: state.update(order_generator=5),
    ],
)
def test_a_damaged_state_leaves_a_training_as_it_was(
    new_training: NewTraining, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    trained = new_training()
    next(train(trained))
    write_checkpoint(trained, tmp_path)
    change_state(tmp_path, change)
    fresh = new_training()
    before = state_of(fresh)
    with pytest.raises(InputError, match="Weights must be whole"):
        restore_checkpoint(fresh, tmp_path)
    assert all(torch.equal(before[name], value) for name, value in fresh.network.state_dict().items())


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x03" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"[]"]
)
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.safetensors' is missing or damaged"):
        read_weights(tmp_path / "w.safetensors")
