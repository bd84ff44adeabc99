import numpy as np

from adapert.models.reference.choice import best_on_validation

OBSERVED = np.array([[1.0, 2, 3], [1, 2, 3]])


def test_the_setting_of_best_mean_pearson_delta_is_taken() -> None:
    predictions = {
        "worse": OBSERVED[:, ::-1],
        "best": OBSERVED * 2,
        "half": np.array([[1.0, 2, 3], [3, 2, 1]]),
    }
    assert best_on_validation(predictions, predictions.__getitem__, OBSERVED) == "best"


def test_of_equal_settings_and_of_settings_without_a_value_the_first_is_taken() -> None:
    assert best_on_validation([2, 1], lambda scale: OBSERVED * scale, OBSERVED) == 2
    assert best_on_validation([2, 1], lambda _: np.zeros((2, 3)), OBSERVED) == 2


def test_a_setting_without_a_value_loses_to_one_with() -> None:
    predictions = {"constant": np.zeros((2, 3)), "wrong": OBSERVED[:, ::-1]}
    assert best_on_validation(predictions, predictions.__getitem__, OBSERVED) == "wrong"
