import json
import math

import pytest
import torch
from safetensors.torch import load_file

from adapert.errors import InputError
from adapert.training.checkpoints import restore_checkpoint, write_checkpoint, write_weights
from adapert.training.loop import train

FORMS = [
    {},
    {"data.control": "cell", "training.schedule": "cosine"},
    {"loss.alignment": "paper", "model.context": "random"},
    {"model.context": "constant", "loss.alignment": "contrastive"},
    {"graph.edges": "rewired", "data.text_embedding": "shuffled"},
]


def results_of(training):
    reports = [report.flat() for report in train(training)]
    for report in reports:
        del report["seconds"]
    return reports


@pytest.mark.parametrize("changes", FORMS)
@pytest.mark.parametrize("n_epochs", [1, 3])
def test_stopped_and_restored_training_equals_an_unbroken_one(new_training, tmp_path, changes, n_epochs):
    changes = changes | {"training.max_epochs": 5}
    unbroken = new_training(changes)
    expected = results_of(unbroken)
    stopped = new_training(changes)
    epochs = train(stopped)
    for _ in range(n_epochs):
        next(epochs)
    write_checkpoint(stopped, tmp_path)
    restored = new_training(changes)
    restore_checkpoint(restored, tmp_path)
    assert results_of(restored) == expected[n_epochs:]
    assert restored.best.epoch == unbroken.best.epoch
    assert restored.best.pearson_delta == unbroken.best.pearson_delta
    assert restored.best.pds == unbroken.best.pds
    for name, weights in unbroken.best.weights.items():
        assert torch.equal(restored.best.weights[name], weights)
    for name, weights in unbroken.model.state_dict().items():
        assert torch.equal(restored.model.state_dict()[name], weights)


def test_writing_a_checkpoint_changes_nothing(new_training, tmp_path):
    expected = results_of(new_training())
    watched, reports = new_training(), []
    for report in train(watched):
        write_checkpoint(watched, tmp_path)
        reports.append(report.losses | report.validation)
    assert all(report.items() <= full.items() for report, full in zip(reports, expected, strict=True))


def test_checkpoint_before_any_epoch_has_no_best(new_training, tmp_path):
    write_checkpoint(new_training(), tmp_path)
    restored = new_training()
    restore_checkpoint(restored, tmp_path)
    assert restored.best.pearson_delta == -math.inf
    assert math.isnan(restored.best.pds)
    assert restored.best.weights == {}
    assert results_of(restored) == results_of(new_training())


def test_checkpoint_of_the_last_epoch_is_over(new_training, tmp_path):
    done = new_training()
    list(train(done))
    write_checkpoint(done, tmp_path)
    restored = new_training()
    restore_checkpoint(restored, tmp_path)
    assert restored.is_over
    assert list(train(restored)) == []


@pytest.mark.parametrize(("changes", "seed"), [({"model.tau": 2.0}, 0), ({}, 1)])
def test_checkpoint_of_another_config_or_seed_is_refused(new_training, tmp_path, changes, seed):
    written, other = new_training(), new_training(changes, seed=seed)
    write_checkpoint(written, tmp_path)
    own, found = other.config.digest(), written.config.digest()
    message = f"must be of the trial's config {own} and seed {seed}, but .* is of config {found} and seed 0"
    with pytest.raises(InputError, match=message):
        restore_checkpoint(other, tmp_path)


def test_checkpoint_is_found_wherever_the_data_lie(new_training, tmp_path):
    write_checkpoint(new_training({"data.path": "/here"}), tmp_path)
    moved = new_training({"data.path": "/there"})
    restore_checkpoint(moved, tmp_path)
    assert results_of(moved) == results_of(new_training())


@pytest.mark.parametrize("changes", FORMS)
def test_files_are_safetensors_and_json_only(new_training, tmp_path, changes):
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
    training.model.load_state_dict(restored)
