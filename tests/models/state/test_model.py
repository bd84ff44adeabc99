from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset, with_second_embeddings
from fixtures.linear_effects import build_linear_dataset, error_beside_the_mean
from fixtures.narrowed import of_kind
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.array_tables import CellTable
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.models.cell_sets import SetPrediction
from adapert.models.discrepancies import energy_distance
from adapert.models.encoders import TextTable
from adapert.models.state.model import State, build_state
from adapert.models.targets import build_targets
from adapert.training.loop import train_epoch
from adapert.training.objective import minibatch_losses
from adapert.training.prediction import predict
from adapert.training.state import Training

CPU = torch.device("cpu")
DATASET = build_tiny_dataset()
SMALL = {
    "model.name": "state",
    "state.hidden_size": 8,
    "state.n_layers": 2,
    "state.n_heads": 2,
    "state.set_size": 5,
}
MIXED = ["G00+G03", "G14", "G07", "G02+G05+G13"]


def config_of(changes: dict[str, Any] | None = None) -> Config:
    return Config().with_changes(SMALL | (changes or {}))


def small_state(changes: dict[str, Any] | None = None, dataset: PreparedDataset = DATASET) -> State:
    return build_state(dataset, config_of(changes), 0).eval()


def delta_of(model: State, dataset: PreparedDataset = DATASET) -> np.ndarray:
    return predict(model, dataset, MIXED, CPU)


def draws(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_attention_is_over_the_cells_of_a_set_as_in_torchs_multihead_attention() -> None:
    model = small_state({"state.n_layers": 1})
    (layer,) = model.layers
    assert isinstance(layer, nn.TransformerEncoderLayer)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    attention.load_state_dict(layer.self_attn.state_dict())
    encoded, effect = draws(3, 5, 8), draws(3, 8)
    with torch.no_grad():
        token = encoded + effect.unsqueeze(1)
        normed = layer.norm1(token)
        h = token + attention(normed, normed, normed)[0]
        h = h + layer.linear2(nn.functional.gelu(layer.linear1(layer.norm2(h))))
        expected = torch.relu(model.decoder.first(h + encoded))
        found = model.hidden_units(encoded, effect, None)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("set_size", "n_cells"), [(1, 256), (64, 256), (100, 300), (300, 300)])
def test_predictions_start_from_whole_sets(set_size: int, n_cells: int) -> None:
    model = small_state({"state.set_size": set_size})
    sizes = []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda _, tokens: sizes.append(tokens[0].shape[1]))
    delta_of(model)
    assert len(model.cells) == n_cells
    assert set(sizes) == {set_size}


def test_the_order_of_cells_says_nothing_and_their_company_does() -> None:
    model, order = small_state(), torch.tensor([3, 0, 4, 1, 2])
    encoded, effect = draws(2, 5, 8), draws(2, 8)
    with torch.no_grad():
        found = model.hidden_units(encoded, effect, None)
        torch.testing.assert_close(model.hidden_units(encoded[:, order], effect, None), found[:, order])
        alone = model.hidden_units(encoded[:, :1], effect, None)
        assert not torch.allclose(alone, found[:, :1], atol=1e-3)
        deaf = small_state({"state.n_layers": 0})
        found, alone = (deaf.hidden_units(cells, effect, None) for cells in (encoded, encoded[:, :1]))
    torch.testing.assert_close(alone, found[:, :1])


def test_a_prediction_is_the_mean_over_control_cells_with_less_without_the_perturbation() -> None:
    model = small_state()
    targets = build_targets(DATASET, MIXED, CPU)
    changes = []
    with torch.no_grad():
        for effect in model.text(targets):
            cells = [
                model.decoder.second(model.hidden_units(model.encode(part)[None], each[None], None))[0]
                for each in (effect, torch.zeros(8))
                for part in torch.split(model.cells, 5)
            ]
            with_effect, without = torch.cat(cells).chunk(2)
            assert len(without) == 260
            changes.append((with_effect - without).mean(dim=0).numpy())
    assert np.abs(changes).max() > 0.01
    np.testing.assert_allclose(delta_of(model), changes, rtol=1e-3, atol=1e-5)


def test_effects_of_a_combinations_genes_add_up_and_the_graphs_nodes_do_not_matter() -> None:
    dataset = with_second_embeddings(DATASET)
    model = small_state({"data.embeddings": "text+rpe1", "graph.nodes": "perturbed"}, dataset)
    both, *each = model.text(build_targets(dataset, ["G00+G03", "G00", "G03"], CPU))
    torch.testing.assert_close(both, each[0] + each[1])
    assert [len(of_kind(TextTable, table).embedding) for table in model.text.tables] == [N_NODES, N_NODES]
    assert not torch.allclose(each[0], each[1])


def test_without_text_every_perturbation_is_predicted_alike_but_not_as_none() -> None:
    delta = delta_of(small_state({"data.embeddings": "none"}))
    np.testing.assert_allclose(delta[1], delta[2], atol=1e-6)
    assert np.abs(delta[1]).max() > 1e-4


def test_a_training_step_teaches_every_parameter_by_energy_distances_of_sets() -> None:
    training = Training(config_of({"state.dropout": 0.1}), DATASET, 0, CPU)
    rows = training.objective.rows
    minibatch = rows.minibatch(np.arange(len(rows.perturbation_index)), training.order_generator)
    losses, prediction = minibatch_losses(training, minibatch)
    assert isinstance(prediction, SetPrediction)
    n_sets = len(rows.perturbation_index)
    control = torch.from_numpy(minibatch.control).reshape(n_sets, 5, N_GENES)
    expected = {"loss_perturbed": 0.0, "loss_control": 0.0}
    for each in range(n_sets):
        own = slice(5 * each, 5 * each + 5)
        predicted = control[each] + prediction.delta[own]
        observed = control[each] + torch.from_numpy(minibatch.target_delta[own])
        weight = float(rows.weight[each]) / n_sets
        expected["loss_perturbed"] += weight * energy_distance(predicted, observed).item()
        reconstructed = prediction.reconstructed[each]
        expected["loss_control"] += weight * energy_distance(reconstructed, control[each]).item()
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-4)
    assert losses["loss_total"].item() == pytest.approx(sum(expected.values()) / 2, rel=1e-4)
    losses["loss_total"].backward()  # type: ignore[no-untyped-call]
    untaught = [
        name
        for name, p in training.network.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert untaught == []


def test_control_cells_come_with_the_weights() -> None:
    model = small_state()
    unsplit = small_state(dataset=replace(DATASET, splits={}, control_cells=CellTable.empty()))
    assert not np.allclose(delta_of(unsplit), delta_of(model))
    unsplit.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(delta_of(unsplit), delta_of(model))


def test_responses_of_unseen_genes_are_recovered_from_cells() -> None:
    dataset = build_linear_dataset()
    sizes = {"state.hidden_size": 32, "state.set_size": 16, "training.minibatch_size": 4}
    training = Training(
        config_of(sizes | {"training.learning_rate": 3e-3, "state.n_layers": 1}), dataset, 0, CPU
    )
    for _ in range(5):
        train_epoch(training)
    predicted = training.predict(dataset.splits["validation"].table.perturbations.tolist())
    assert error_beside_the_mean(dataset, predicted) < 0.3


def test_heads_must_divide_the_hidden_size() -> None:
    with pytest.raises(InputError, match=r"multiple of 'state\.n_heads', but they are 10 and 4\. Set 1, 2"):
        Config().with_changes({"state.hidden_size": 10})
