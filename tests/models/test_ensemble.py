from collections.abc import Sequence

import numpy as np
from fixtures.dataset import build_tiny_dataset

from adapert.data.prepared import PreparedDataset
from adapert.models.ensemble import Ensemble
from adapert.models.reference import REFERENCE_MODELS

DATASET = build_tiny_dataset()


class Constant:
    is_seeded = True

    def __init__(self, value: int) -> None:
        self.value, self.is_fitted = value, False

    def fit(self, dataset: PreparedDataset) -> None:
        self.is_fitted = True

    def chosen(self) -> dict[str, float | str]:
        return {}

    def refit(self, dataset: PreparedDataset) -> None:
        self.value, self.is_fitted = self.value + 1, True

    def predict(self, perturbations: Sequence[str]) -> np.ndarray:
        assert self.is_fitted
        return np.full((len(perturbations), 4), float(self.value))


def test_an_ensemble_predicts_the_mean_of_its_members() -> None:
    ensemble = Ensemble([Constant(1), Constant(2), Constant(6)])
    ensemble.fit(DATASET)
    assert ensemble.predict(["A", "B"]).tolist() == [[3.0] * 4] * 2


def test_members_that_are_fitted_already_are_used_as_they_are() -> None:
    member = Constant(1)
    member.fit(DATASET)
    assert Ensemble([member]).predict(["A"]).tolist() == [[1.0] * 4]


def test_a_refit_of_an_ensemble_refits_every_member() -> None:
    members = [Constant(1), Constant(5)]
    Ensemble(members).refit(DATASET)
    assert Ensemble(members).predict(["A"]).tolist() == [[4.0] * 4]


def test_an_ensemble_of_models_without_chance_has_none() -> None:
    members = [REFERENCE_MODELS[name]() for name in ("mean", "ridge_text")]
    assert not Ensemble(members).is_seeded
    assert Ensemble([*members, Constant(0)]).is_seeded
