from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.predictions import build_predictions, write_predictions

from adapert.errors import InputError
from analysis.predictions import Predictions, choose_perturbation, choose_variants, read_predictions


@pytest.fixture
def predictions() -> Predictions:
    return build_predictions()


def test_what_an_evaluation_wrote_is_read_back(predictions: Predictions, tmp_path: Path) -> None:
    read = read_predictions(write_predictions(predictions, tmp_path / "test_001"))
    assert (read.name, read.variants) == ("test_001", ["adapert", "mean", "ridge_both"])
    np.testing.assert_array_equal(read.perturbations, predictions.perturbations)
    np.testing.assert_array_equal(read.deg_mask, predictions.deg_mask)
    np.testing.assert_allclose(read.prediction_of("mean"), predictions.prediction_of("mean"))


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("adapret", "no variant 'adapret' in this evaluation. Did you mean 'adapert'"),
        ("x", "It has 'adapert'"),
    ],
)
def test_an_unknown_variant_is_refused(predictions: Predictions, variant: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predictions.prediction_of(variant)


def test_an_unknown_perturbation_is_refused_with_a_near_name(predictions: Predictions) -> None:
    with pytest.raises(
        InputError, match=r"no perturbation 'G004' among the 6 evaluated ones\. Did you mean 'G0"
    ):
        predictions.row_of("G004")


def test_files_that_are_no_predictions_are_refused(predictions: Predictions, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"keeps its predictions in 'predictions\.h5ad', but"):
        read_predictions(tmp_path)
    (tmp_path / "predictions.h5ad").write_text("no h5ad")
    with pytest.raises(InputError, match=r"must be a whole \.h5ad file, but '.*' is damaged"):
        read_predictions(tmp_path)
    write_predictions(replace(predictions, predicted_delta={}), tmp_path)
    with pytest.raises(InputError, match="Predictions must have the layer 'is_deg', a layer a variant"):
        read_predictions(tmp_path)


def test_the_perturbation_shown_is_the_median_one_of_the_largest_effects(predictions: Predictions) -> None:
    large = [2, 5]
    r = [
        np.corrcoef(predictions.prediction_of("adapert")[row], predictions.observed_delta[row])[0, 1]
        for row in large
    ]
    expected = predictions.perturbations[large[int(np.argmin(r))]]  # of two the lower
    assert choose_perturbation(predictions, "adapert") == expected
    medium = replace(predictions, effect_size=np.where(predictions.effect_size == "large", "small", "medium"))
    assert choose_perturbation(medium, "adapert") in medium.perturbations[medium.effect_size == "medium"]


def test_no_perturbation_is_chosen_without_degs(predictions: Predictions) -> None:
    without = replace(predictions, deg_mask=np.zeros_like(predictions.deg_mask))
    with pytest.raises(InputError, match="none of the 6 evaluated ones has both"):
        choose_perturbation(without, "adapert")


@pytest.mark.parametrize(
    ("variants", "chosen"),
    [
        (["mean", "ridge_both", "adapert"], ("adapert", "mean")),
        (["ridge_both", "ridge_text"], ("ridge_both", "ridge_text")),
        (["mean"], ("mean", None)),
        (["adapert", "file:theirs", "mean"], ("adapert", "file:theirs")),
        (["file:theirs", "mean"], ("file:theirs", "mean")),
    ],
)
def test_adapert_is_drawn_beside_the_mean(
    predictions: Predictions, variants: list[str], chosen: tuple[str, str | None]
) -> None:
    delta = predictions.observed_delta
    assert choose_variants(replace(predictions, predicted_delta=dict.fromkeys(variants, delta))) == chosen


@pytest.mark.parametrize("name", ["observed_delta", "predicted_delta"])
def test_predictions_that_are_no_numbers_are_refused(
    predictions: Predictions, tmp_path: Path, name: str
) -> None:
    nan = np.full_like(predictions.observed_delta, np.nan)
    changed: dict[str, Any] = {name: nan if name == "observed_delta" else {"mean": nan}}
    write_predictions(replace(predictions, **changed), tmp_path)
    with pytest.raises(InputError, match=r"Predictions must be finite numbers, but '(X|mean)'"):
        read_predictions(tmp_path)
