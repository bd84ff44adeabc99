from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.trainings import adapert_of

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.regroup import join_splits
from adapert.evaluation.metrics import pearson_delta
from adapert.models.protocol import PerturbationModel
from adapert.models.reference import REFERENCE_MODELS
from adapert.training.fit import FittedNetwork, begin_fit
from adapert.training.loop import DivergedError, train
from adapert.training.state import Training


def test_fitted_model_predicts_with_its_best_epochs_weights(
    tiny_dataset: PreparedDataset, small_settings: dict[str, Any]
) -> None:
    config = Config().with_changes(
        small_settings | {"training.max_epochs": 12, "training.learning_rate": 0.05}
    )
    model = FittedNetwork(config, 0, torch.device("cpu"))
    model.fit(replace(tiny_dataset, splits={k: tiny_dataset.splits[k] for k in ("train", "validation")}))
    validation = tiny_dataset.splits["validation"].table
    assert model.training.best.epoch < model.training.epoch
    scores = pearson_delta(model.predict(list(validation.perturbations)), validation.delta)
    assert scores.mean() == pytest.approx(model.training.best.scores["pearson_delta"], abs=1e-12)


def test_fitted_model_predicts_unseen_perturbations(
    tiny_dataset: PreparedDataset, small_settings: dict[str, Any]
) -> None:
    model = FittedNetwork(Config().with_changes(small_settings), 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    unseen = list(tiny_dataset.splits["test"].table.perturbations)
    predicted = model.predict(unseen)
    assert predicted.shape == (3, tiny_dataset.n_genes)
    assert np.isfinite(predicted).all()


def joined(dataset: PreparedDataset) -> PreparedDataset:
    parts = (dataset.splits[name] for name in ("train", "validation"))
    return replace(dataset, splits={"train": join_splits(*parts)})


@pytest.mark.parametrize(
    "changes",
    [
        {"data.control": "batch_mean", "training.schedule": "cosine"},
        {
            "data.control": "cell",
            "loss.huber_delta_unit": "standard_deviation",
            "training.minibatch_size": 16,
        },
    ],
)
def test_a_refit_equals_plain_training_of_as_many_epochs_on_all(
    tiny_dataset: PreparedDataset, small_settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    settings = small_settings | {"training.max_epochs": 8, "training.learning_rate": 0.05}
    config = Config().with_changes(settings | changes)
    model = FittedNetwork(config, 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    model.training.best.epoch = n_epochs = 3  # more than one and fewer than all
    model.refit(joined(tiny_dataset))
    # An ordinary training whose validation split is of no consequence: it never stops before its epochs.
    everything = replace(
        joined(tiny_dataset),
        splits=dict(joined(tiny_dataset).splits) | {"validation": tiny_dataset.splits["test"]},
    )
    plain = Training(config, everything, 0, torch.device("cpu"))
    for _ in zip(range(n_epochs), train(plain), strict=False):
        pass
    assert model.training.epoch == plain.epoch == n_epochs
    names = list(tiny_dataset.splits["test"].table.perturbations)
    np.testing.assert_array_equal(model.predict(names), plain.predict(names))


def test_a_refit_resolves_anew_what_depends_on_the_training_data(
    tiny_dataset: PreparedDataset, small_settings: dict[str, Any]
) -> None:
    model = FittedNetwork(Config().with_changes(small_settings), 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    before = model.training.resolved["resolved_huber_delta"]
    everything = joined(tiny_dataset)
    model.refit(everything)
    table = everything.splits["train"].table
    assert model.training.resolved["resolved_huber_delta"] == pytest.approx(
        0.5 * table.delta[~table.deg_mask].std()
    )
    assert model.training.resolved["resolved_huber_delta"] != before
    np.testing.assert_allclose(
        adapert_of(model.training).output.offset.numpy(), table.delta.mean(axis=0), atol=1e-6
    )


def test_a_refit_repeats_the_learning_rates_that_validation_led_to(
    tiny_dataset: PreparedDataset, small_settings: dict[str, Any]
) -> None:
    plateau = {"training.schedule": "plateau", "training.plateau_patience": 0, "training.max_epochs": 20}
    model = FittedNetwork(Config().with_changes(small_settings | plateau), 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    rates = model.training.rates
    model.training.best.epoch = len(rates)  # the last, so that all are repeated
    model.refit(joined(tiny_dataset))
    assert model.training.rates == rates
    assert len(set(rates)) > 1


def test_a_refit_without_a_best_epoch_takes_all_epochs(
    tiny_dataset: PreparedDataset, small_settings: dict[str, Any]
) -> None:
    constant = replace(tiny_dataset.splits["validation"].table, delta=np.zeros((4, 12), dtype=np.float32))
    blind = replace(tiny_dataset.splits["validation"], table=constant)
    model = FittedNetwork(Config().with_changes(small_settings), 0, torch.device("cpu"))
    model.fit(replace(tiny_dataset, splits=dict(tiny_dataset.splits) | {"validation": blind}))
    assert model.training.best.epoch == 0
    model.refit(joined(tiny_dataset))
    assert model.training.epoch == 4


def test_a_refit_that_diverges_says_so(tiny_dataset: PreparedDataset, small_settings: dict[str, Any]) -> None:
    model = FittedNetwork(Config().with_changes(small_settings), 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    model.training.rates = [1e30] * 3
    model.training.best.epoch = 3
    with pytest.raises(DivergedError, match="The loss must stay finite"):
        model.refit(joined(tiny_dataset))


class Broken(PerturbationModel):
    is_seeded = False

    def fit(self, dataset: PreparedDataset) -> None:
        pass

    def chosen(self) -> dict[str, float | str]:
        return {}

    def refit(self, dataset: PreparedDataset) -> None:
        pass

    def predict(self, perturbations: Sequence[str]) -> np.ndarray:
        return np.full((len(perturbations), 12), np.inf)


def test_a_model_without_epochs_that_predicts_no_finite_numbers_has_diverged(
    tiny_dataset: PreparedDataset,
) -> None:
    fit = begin_fit(Broken(), tiny_dataset)
    with pytest.raises(
        DivergedError,
        match=r"^Predictions must stay finite, .* on validation for 4 of 4 perturbations are not\.$",
    ):
        fit.step()


def test_a_model_without_epochs_reports_its_validation_means_once(tiny_dataset: PreparedDataset) -> None:
    model = REFERENCE_MODELS["ridge_both"]()
    fit = begin_fit(model, tiny_dataset)
    report = fit.step()
    table = tiny_dataset.splits["validation"].table
    expected = pearson_delta(model.predict(list(table.perturbations)), table.delta).mean()
    assert report["pearson_delta"] == report["best_pearson_delta"] == pytest.approx(expected)
    assert fit.is_over


def test_a_model_without_epochs_leaves_no_files(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    fit = begin_fit(REFERENCE_MODELS["mean"](), tiny_dataset)
    fit.write_checkpoint(tmp_path)
    fit.restore_checkpoint(tmp_path)
    fit.step()
    fit.write_weights(tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []
