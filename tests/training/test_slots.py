from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.exhaustive import few_fast
from torch import Tensor

from adapert.data.prepared import PreparedDataset
from adapert.data.regroup import redraw
from adapert.models.adapert.model import AdaPert
from adapert.models.tensor_metrics import effective_rank
from adapert.training.fit import NetworkFit
from adapert.training.loop import DivergedError, TrainedEpoch, run_alone, validate
from adapert.training.own_values import read_numbers
from adapert.training.side_by_side import SideBySide
from adapert.training.slots import OWN_FIELDS, Slots, shape_of
from adapert.training.state import Training

OWN_CHANGES: list[dict[str, Any]] = [
    {},
    {"model.tau": 0.4, "model.threshold": 2.0, "graph.top_k": 2},
    {"loss.lambda_non": 0.1, "loss.lambda_align": 0.5, "loss.huber_delta": 0.3, "graph.edges": "rewired"},
    {"data.text_embedding": "shuffled", "training.learning_rate": 0.01, "training.weight_decay": 0.1},
]
"""What trials of one shape may differ in."""

FORMS: list[dict[str, Any]] = [
    {},
    {"model.dropout": 0.4, "training.weight_averaging": 0.9, "model.n_heads": 2},
    {"model.selection": "top_k", "model.score_activation": "relu", "loss.non_deg_reduction": "mean"},
    {"model.selection": "soft", "loss.alignment": "contrastive", "model.predict": "expression"},
    {"model.context": "neighbourhood", "model.graph_activation": "gelu", "model.residual": True},
    {"model.context": "random", "model.own_embedding": "none"},
    {"model.context": "constant", "model.own_embedding": "features", "training.schedule": "plateau"},
    {
        "model.node_features": "text+spectral+diffused",
        "model.own_embedding": "features",
        "model.output_basis": 4,
        "model.decoder_layers": 2,
        "model.context": "all_nodes",
    },
    {"training.precision": "bfloat16", "model.selection": "soft"},
]


def trained(epoch: TrainedEpoch | DivergedError) -> TrainedEpoch:
    assert isinstance(epoch, TrainedEpoch)
    return epoch


def assert_alike(found: Training, expected: Training, tolerance: float) -> None:
    names = list(expected.dataset.splits["validation"].table.perturbations)
    np.testing.assert_allclose(found.predict(names), expected.predict(names), atol=tolerance)


@pytest.mark.parametrize("form", few_fast(FORMS, 3))
def test_a_slot_equals_the_trial_alone(new_training: NewTraining, form: Mapping[str, Any]) -> None:
    all_changes = [{**form, **own} for own in OWN_CHANGES]
    alone = [new_training(changes, seed=seed) for seed, changes in enumerate(all_changes)]
    together = [new_training(changes, seed=seed) for seed, changes in enumerate(all_changes)]
    slots = Slots(together)
    # Half precision rounds the products of one trial and of several differently.
    tolerance = 2e-2 if "training.precision" in form else 2e-6
    for _ in range(3):
        epochs = slots.train_epoch()
        for epoch, training in zip(epochs, alone, strict=True):
            expected = run_alone(training)
            assert trained(epoch).losses == pytest.approx(expected.losses, rel=tolerance, abs=1e-7)
            assert trained(epoch).observed.keys() == expected.observed.keys()
            for name, observed in expected.observed.items():
                torch.testing.assert_close(
                    trained(epoch).observed[name], observed, rtol=tolerance, atol=10 * tolerance
                )
    for found, training in zip(together, alone, strict=True):
        assert_alike(found, training, tolerance)
        assert found.rates == training.rates


APP_FORMS: list[dict[str, Any]] = [
    {"model.name": "app", "app.size": 8, "app.own_gene": True, "app.dropout": 0.3},
    {"model.name": "app", "app.size": 8, "app.aggregation": "max", "app.decoder": "mlp", "app.score_size": 4},
    {"model.name": "app", "app.size": 8, "app.attention": "none", "app.aggregation": "sum"},
]
OF_APP: list[dict[str, Any]] = [
    {},
    {
        "training.learning_rate": 0.01,
        "graph.edges": "rewired",
        "app.lambda_non": 0.1,
        "app.huber_delta": 0.3,
    },
    {"data.text_embedding": "shuffled", "training.weight_decay": 0.1},
]


VAE: dict[str, Any] = {
    "model.name": "perturbed_vae",
    "perturbed_vae.rows": "means",
    "perturbed_vae.invariant_size": 2,
    "perturbed_vae.specific_size": 3,
    "perturbed_vae.hidden_size": 8,
    "perturbed_vae.spectral_size": 4,
}
VAE_FORMS: list[dict[str, Any]] = [
    VAE,
    VAE | {"perturbed_vae.mask": "none", "training.weight_averaging": 0.9},
    VAE | {"perturbed_vae.latent_graph": "none", "perturbed_vae.alignment": "none"},
    VAE | {"perturbed_vae.effects": "table", "perturbed_vae.alignment": "contrastive"},
    VAE | {"perturbed_vae.invariant_size": 0, "training.schedule": "plateau"},
    VAE | {"training.precision": "bfloat16"},
]
OF_VAE: list[dict[str, Any]] = [
    {},
    {
        "training.learning_rate": 0.01,
        "graph.edges": "rewired",
        "perturbed_vae.beta": 0.1,
        "perturbed_vae.lambda_sparsity": 3.0,
        "perturbed_vae.mask_prior": 0.3,
    },
    {
        "data.text_embedding": "shuffled",
        "training.weight_decay": 0.1,
        "perturbed_vae.lambda_align": 2.0,
        "perturbed_vae.contrastive_temperature": 0.5,
    },
]


@pytest.mark.parametrize(
    ("form", "own_changes"),
    few_fast([*((form, OF_VAE) for form in VAE_FORMS), *((form, OF_APP) for form in APP_FORMS)], 3),
)
def test_a_slot_of_another_system_equals_the_trial_alone(
    new_training: NewTraining, form: Mapping[str, Any], own_changes: Sequence[Mapping[str, Any]]
) -> None:
    alone = [new_training({**form, **own}, seed=seed) for seed, own in enumerate(own_changes)]
    together = [new_training({**form, **own}, seed=seed) for seed, own in enumerate(own_changes)]
    assert len({shape_of(training) for training in together} - {None}) == 1
    slots = Slots(together)
    tolerance = 2e-2 if "training.precision" in form else 1e-5
    for _ in range(3):
        for epoch, training in zip(slots.train_epoch(), alone, strict=True):
            expected = run_alone(training)
            assert trained(epoch).losses == pytest.approx(expected.losses, rel=tolerance, abs=1e-7)
            found_report, expected_report = (
                read_numbers("its model", training.network.epoch_report(each.observed))
                for each in (trained(epoch), expected)
            )
            assert found_report == pytest.approx(expected_report, rel=tolerance)
    for found, training in zip(together, alone, strict=True):
        assert_alike(found, training, tolerance)


def poisoned(trainings: Sequence[Training], slot: int) -> None:
    """Make one trial's weights NaN."""
    with torch.no_grad():
        for parameter in trainings[slot].network.parameters():
            parameter.fill_(torch.nan)


@pytest.mark.parametrize(
    "all_changes",
    [
        OWN_CHANGES,
        [{"model.name": "app", "app.size": 8, **own} for own in (*OF_APP, {})],
        [{**VAE, **own} for own in (*OF_VAE, {})],
    ],
    ids=["adapert", "app", "perturbed_vae"],
)
def test_nan_in_one_slot_reaches_no_other(
    new_training: NewTraining, all_changes: Sequence[Mapping[str, Any]]
) -> None:
    sound = [new_training(changes, seed=1) for changes in all_changes]
    ruined = [new_training(changes, seed=1) for changes in all_changes]
    slots, with_nan = Slots(sound), Slots(ruined)
    slots.train_epoch()
    with_nan.train_epoch()
    poisoned(ruined, 1)
    expected, found = slots.train_epoch(), with_nan.train_epoch()
    with pytest.raises(DivergedError, match="The loss must stay finite") as alone:
        run_alone(ruined[1])
    error = found[1]
    assert isinstance(error, DivergedError)
    assert str(error) == str(alone.value).replace("epoch 3", "epoch 2")
    for slot in (0, 2, 3):
        assert trained(found[slot]).losses == trained(expected[slot]).losses
        for name, value in sound[slot].network.state_dict().items():
            assert torch.equal(ruined[slot].network.state_dict()[name], value)


def test_trials_come_and_go_between_epochs(new_training: NewTraining) -> None:
    alone = [new_training(changes, seed=2) for changes in OWN_CHANGES[:3]]
    together = [new_training(changes, seed=2) for changes in OWN_CHANGES[:3]]
    for members in ((0, 1), (1, 2), (2, 1), (0, 2)):
        epochs = Slots([together[member] for member in members]).train_epoch()
        for member, epoch in zip(members, epochs, strict=True):
            assert trained(epoch).losses == pytest.approx(run_alone(alone[member]).losses, rel=2e-6)
    for found, expected in zip(together, alone, strict=True):
        assert_alike(found, expected, 2e-6)


@pytest.mark.parametrize(
    ("changes", "is_one"),
    [
        *((own, True) for own in OWN_CHANGES),
        ({"model.hidden_size": 32}, False),
        ({"model.context": "constant"}, False),
        ({"model.dropout": 0.0}, False),
        ({"loss.non_deg_reduction": "mean"}, False),
        ({"training.minibatch_size": 4}, False),
        ({"training.precision": "bfloat16"}, False),
        ({"training.weight_averaging": 0.5}, False),
    ],
)
def test_one_shape_is_what_a_step_is_made_of(
    new_training: NewTraining, changes: Mapping[str, Any], is_one: bool
) -> None:
    base = shape_of(new_training())
    assert base is not None
    assert (shape_of(new_training(changes, seed=5)) == base) == is_one


@pytest.mark.parametrize(
    "changes",
    [
        {"data.control": "cell"},
        {"loss.alignment": "paper"},
        {"model.name": "txpert"},
        {"model.name": "gears"},
        {"model.name": "morph", "morph.rows": "means"},
        {"model.name": "perturbed_vae", "perturbed_vae.rows": "cells"},
        {"model.name": "perturbed_vae"},  # of data with cells
        {"graph.nodes": "perturbed"},
    ],
)
def test_some_trials_have_no_shape(new_training: NewTraining, changes: Mapping[str, Any]) -> None:
    assert shape_of(new_training(changes)) is None


OTHER_VALUES: dict[str, Any] = {
    "app.dropout": 0.6,
    "app.huber_delta": 0.3,
    "app.huber_delta_unit": "absolute",
    "app.lambda_non": 0.1,
    "data.embeddings": "none",
    "data.path": "elsewhere",
    "data.split_seed": 3,
    "data.text_embedding": "shuffled",
    "graph.added_fraction": 0.5,
    "graph.edge_weight": "confidence",
    "graph.edges": "rewired",
    "graph.kept_fraction": 0.5,
    "graph.networks": "none",
    "graph.rewired_fraction": 0.5,
    "graph.top_k": 2,
    "loss.huber_delta": 0.3,
    "loss.huber_delta_unit": "absolute",
    "loss.lambda_align": 0.5,
    "loss.lambda_non": 0.1,
    "loss.weighting": "perturbations",
    "model.dropout": 0.6,
    "model.offset": "none",
    "model.other_scale": 2.0,
    "model.self_loops": True,
    "model.tau": 0.4,
    "model.threshold": 2.0,
    "perturbed_vae.beta": 0.1,
    "perturbed_vae.contrastive_temperature": 0.3,
    "perturbed_vae.lambda_align": 0.7,
    "perturbed_vae.lambda_sparsity": 0.2,
    "perturbed_vae.mask_prior": 0.3,
    "training.kept_epoch": "last",
    "training.learning_rate": 0.01,
    "training.max_epochs": 2,
    "training.patience": 1,
    "training.plateau_factor": 0.2,
    "training.plateau_patience": 0,
    "training.schedule": "cosine",
    "training.weight_decay": 0.1,
}


@pytest.mark.parametrize("field", few_fast(OWN_FIELDS, 4))
def test_slots_may_differ_in_each_of_their_own_fields(
    new_training: NewTraining, tiny_dataset: PreparedDataset, field: str
) -> None:
    of_app = {"model.name": "app", "app.size": 8, "app.lambda_non": 0.05, "app.dropout": 0.2}
    base = {"app": of_app, "perturbed_vae": VAE}.get(field.partition(".")[0], {})
    changes = base | {field: OTHER_VALUES[field]}
    dataset = (
        redraw(tiny_dataset, 3, has_training_cells=False) if field == "data.split_seed" else tiny_dataset
    )
    alone = [new_training(base), new_training(changes, dataset)]
    assert alone[1].config.flat()[field] != alone[0].config.flat()[field]
    if shape_of(alone[0]) != shape_of(alone[1]):
        assert field == "data.embeddings"  # no text at all is a table of another size
        return
    slots = Slots([new_training(base), new_training(changes, dataset)])
    for _ in range(2):
        for epoch, training in zip(slots.train_epoch(), alone, strict=True):
            assert trained(epoch).losses == pytest.approx(run_alone(training).losses, rel=5e-6, abs=1e-7)


OF_A_GPU: list[dict[str, Any]] = [
    {},
    {"training.weight_averaging": 0.9},
    {"model.name": "app", "app.size": 8, "app.dropout": 0.3},
    VAE,
]


@pytest.fixture
def report_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AdaPert report by tensors on the CPU too, where numpy's values have always been tracked."""

    def epoch_report(self: AdaPert, observed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"context_effective_rank": effective_rank(observed["z"])}

    monkeypatch.setattr(AdaPert, "epoch_report", epoch_report)


@pytest.mark.usefixtures("report_of_a_gpu")
@pytest.mark.parametrize("form", OF_A_GPU)
def test_slots_validate_where_they_are_as_a_trial_does_on_the_host(
    new_training: NewTraining, form: Mapping[str, Any]
) -> None:
    slots = Slots([new_training(form, seed=seed) for seed in range(2)])
    slots.is_validated = True  # as on a GPU
    for _ in range(2):
        epochs = [trained(epoch) for epoch in slots.train_epoch()]
    for epoch, training in zip(epochs, slots.trainings, strict=True):
        expected = validate(training, epoch.observed)
        assert epoch.validated is not None
        assert epoch.validated.scores == pytest.approx(expected.scores, rel=1e-5)
        assert epoch.validated.report == pytest.approx(expected.report, rel=1e-5)
        assert epoch.validated.n_bad == expected.n_bad == 0


@pytest.mark.usefixtures("report_of_a_gpu")
def test_nan_in_one_slot_leaves_the_validation_of_others_alone(new_training: NewTraining) -> None:
    slots = Slots([new_training(seed=seed) for seed in range(3)])
    slots.is_validated = True
    slots.train_epoch()
    poisoned(slots.trainings, 1)
    first, ruined, last = slots.train_epoch()
    assert isinstance(ruined, DivergedError)
    for epoch in (first, last):
        validated = trained(epoch).validated
        assert validated is not None
        assert np.isfinite([*validated.scores.values(), *validated.report.values()]).all()


def test_an_epoch_that_slots_trained_is_reported_once(new_training: NewTraining) -> None:
    fits = [NetworkFit(new_training(seed=seed)) for seed in range(2)]
    together = SideBySide()
    together.share(fits)
    assert [fit.step()["epoch"] for fit in fits] == [1, 1]
    first, _ = fits
    assert first.step()["epoch"] == 2  # alone, where it was left out


def test_a_step_that_fails_ends_all_slots_and_trains_none_twice(new_training: NewTraining) -> None:
    fits = [NetworkFit(new_training(seed=seed)) for seed in range(2)]
    fits[1].training.order_generator = None  # type: ignore[assignment]  # nothing to draw from, in one of the two
    together = SideBySide()
    together.share(fits)
    for fit in fits:
        with pytest.raises(AttributeError, match="no attribute 'permutation'"):
            fit.step()
        assert fit.training.epoch == 1


def test_slots_that_cannot_be_made_end_each_of_their_trials(new_training: NewTraining) -> None:
    fits = [NetworkFit(new_training(seed=seed)) for seed in range(2)]
    fits[1].training.table = None  # type: ignore[assignment]  # as where memory holds the table of one alone
    together = SideBySide()
    together.share(fits)
    for fit in fits:
        with pytest.raises(TypeError, match="NoneType"):
            fit.step()
