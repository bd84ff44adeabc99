from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.builders import PlanOf
from fixtures.narrowed import present

from adapert.comparison.fit import Fitted, fit_models, join_training, mean_predictions
from adapert.comparison.plan import ComparisonPlan, name_variants
from adapert.comparison.score import compare
from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.reference.control import ControlModel
from adapert.registry import MODELS
from adapert.training.loop import DivergedError


def fit(plan: ComparisonPlan, config: Config, dataset: PreparedDataset) -> list[Fitted]:
    return fit_models(plan, name_variants(plan.names([config]), {"": config}), dataset)


def test_a_model_named_twice_is_one_row(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    rows = compare(plan_of("mean", "control", "mean"), small_config, tiny_dataset)
    assert [row.variant for row in rows] == ["mean", "control"]


@pytest.mark.parametrize("noise", ["kept_fraction", "added_fraction", "rewired_fraction"])
def test_noise_in_the_graph_gives_a_model_without_chance_of_its_own_several_fits(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf, noise: str
) -> None:
    noisy = small_config.with_changes({"model.name": "kernel_ridge", f"graph.{noise}": 0.5})
    rows = fit(plan_of("mean", "kernel_ridge", n_seeds=3, use_ensembles=True), noisy, tiny_dataset)
    of_kernel = [("kernel_ridge", 0), ("kernel_ridge", 1), ("kernel_ridge", 2), ("kernel_ridge_ensemble", 0)]
    assert [(row.variant, row.seed) for row in rows] == [("mean", 0), *of_kernel]


def test_fits_cannot_read_the_split_that_is_opened(
    tiny_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch, small_config: Config, plan_of: PlanOf
) -> None:
    seen = []

    class Curious:
        is_seeded = False

        def fit(self, dataset: PreparedDataset) -> None:
            seen.append(set(dataset.splits))

        def predict(self, perturbations: list[str]) -> np.ndarray:
            return np.zeros((len(perturbations), 12))

    monkeypatch.setitem(MODELS, "mean", lambda *_: Curious())
    compare(plan_of("mean"), small_config, tiny_dataset)
    assert seen == [{"train", "validation"}]


def test_fits_have_the_plan_s_threads_and_the_caller_keeps_its_own(
    tiny_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch, small_config: Config, plan_of: PlanOf
) -> None:
    seen = []

    class Counting:
        is_seeded = False

        def fit(self, dataset: PreparedDataset) -> None:
            seen.append(torch.get_num_threads())

        def predict(self, perturbations: list[str]) -> np.ndarray:
            return np.zeros((len(perturbations), 12))

    monkeypatch.setitem(MODELS, "mean", lambda *_: Counting())
    own = torch.get_num_threads()
    for plan in (plan_of("mean"), plan_of("mean", n_threads=own + 1)):
        fit(plan, small_config, tiny_dataset)
    assert seen == [1, own + 1]
    assert torch.get_num_threads() == own


def test_fitting_reads_names_and_no_value_of_the_split_that_is_opened(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    part = tiny_dataset.splits["test"]
    hidden = replace(part.table, delta=np.full_like(part.table.delta, np.nan))
    blind = replace(tiny_dataset, splits=dict(tiny_dataset.splits) | {"test": replace(part, table=hidden)})
    plan = plan_of("adapert", "ridge_both", n_seeds=1, refit="train+validation")
    for one, other in zip(
        fit(plan, small_config, tiny_dataset),
        fit(plan, small_config, blind),
        strict=True,
    ):
        np.testing.assert_array_equal(one.predicted_delta, other.predicted_delta)


def test_a_refit_learns_from_train_and_validation_together(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    (row,) = fit(plan_of("mean", refit="train+validation"), small_config, tiny_dataset)
    tables = [tiny_dataset.splits[name].table for name in ("train", "validation")]
    delta = np.concatenate([table.delta for table in tables])
    expected = np.average(delta, axis=0, weights=np.concatenate([table.n_cells for table in tables]))
    np.testing.assert_allclose(present(row.model).predict(["unseen"])[0], expected, rtol=1e-6)


def test_every_seed_of_an_ensemble_is_refitted(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    plans = [
        plan_of("adapert", n_seeds=2, use_ensembles=True, refit=refit)
        for refit in ("train", "train+validation")
    ]
    plain, refitted = (fit(plan, small_config, tiny_dataset) for plan in plans)
    assert [row.variant for row in refitted] == ["adapert", "adapert", "adapert_ensemble"]
    members = [row.predicted_delta for row in refitted[:2]]
    np.testing.assert_allclose(refitted[2].predicted_delta, np.mean(members, axis=0), rtol=1e-6)
    for one, other in zip(plain, refitted, strict=True):
        assert not np.allclose(one.predicted_delta, other.predicted_delta)


def test_only_models_that_train_on_cells_get_joined_cells(
    tiny_dataset: PreparedDataset, small_config: Config
) -> None:
    by_cell = small_config.with_changes({"data.control": "cell"})
    assert set(join_training(tiny_dataset, [small_config]).splits) == {"train"}
    assert len(join_training(tiny_dataset, [small_config]).splits["train"].cells) == 0
    n_cells = [len(tiny_dataset.splits[name].cells) for name in ("train", "validation")]
    assert len(join_training(tiny_dataset, [small_config, by_cell]).splits["train"].cells) == sum(n_cells)


def test_predictions_are_averaged_over_seeds_by_variant(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    fitted = fit(plan_of("mean", "adapert", n_seeds=2), small_config, tiny_dataset)
    means = mean_predictions(fitted)
    assert list(means) == ["mean", "adapert"]
    np.testing.assert_allclose(
        means["adapert"], (fitted[1].predicted_delta + fitted[2].predicted_delta) / 2, rtol=1e-6
    )


def test_a_prediction_that_is_no_number_is_a_divergence(
    monkeypatch: pytest.MonkeyPatch, tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    def predict(model: ControlModel, names: Sequence[str]) -> FloatArray:
        return np.full((len(names), 12), np.inf)

    monkeypatch.setattr(ControlModel, "predict", predict)
    with pytest.raises(DivergedError, match=r"those of control seed 0 for 3 of 3 perturbations are not\."):
        compare(plan_of("control"), small_config, tiny_dataset)


def test_two_configs_of_a_model_are_fitted_as_they_are_and_told_apart(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    stiff = small_config.with_changes({"model.name": "kernel_ridge", "kernel_ridge.penalty": 1e6})
    loose = stiff.with_changes({"kernel_ridge.penalty": 1e-3})
    plan = plan_of("mean", "kernel_ridge")
    fitted = fit_models(
        plan, name_variants(plan.names([stiff, loose]), {"stiff": stiff, "loose": loose}), tiny_dataset
    )
    assert [row.variant for row in fitted] == ["mean", "kernel_ridge:stiff", "kernel_ridge:loose"]
    assert [row.config_digest for row in fitted[1:]] == [stiff.digest(), loose.digest()]
    # A stiff ridge predicts the same for all perturbations.
    spreads = [float(np.ptp(row.predicted_delta, axis=0).max()) for row in fitted[1:]]
    assert spreads[0] < 1e-3 < spreads[1]
