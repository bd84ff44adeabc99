import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.store import Store

from adapert.errors import InputError
from adapert.training.own_values import RESERVED, join_own, read_numbers


def test_values_of_a_loss_and_a_network_are_joined_under_their_own_names() -> None:
    own = join_own("mine", {"loss_total": 2.0}, {"rank": 3.0, "angle": math.nan})
    assert own == pytest.approx({"loss_total": 2.0, "rank": 3.0, "angle": math.nan}, nan_ok=True)


def test_a_network_reports_numbers_or_tensors_of_one() -> None:
    numbers = read_numbers("mine", {"rank": 3, "size": torch.tensor(0.5), "angle": np.float32(0.25)})
    assert numbers == {"rank": 3.0, "size": 0.5, "angle": 0.25}
    for value, kind in ((torch.ones(2), "Tensor"), ("high", "str"), (None, "NoneType")):
        with pytest.raises(InputError, match=f"must be numbers, but 'rank' of 'mine' is a {kind}\."):
            read_numbers("mine", {"rank": value})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (({"pds": 1.0},), "names of its own, but 'mine' reports 'pds', which every trial reports. Rename it"),
        (({"best_epoch": 1.0},), "reports 'best_epoch', which every trial reports"),
        (({"rank": 1.0}, {"rank": 2.0}), "'mine' reports 'rank', twice"),
        (({"model.tau": 1.0},), "letters, digits and '_', and begin with a letter, but .* 'model.tau'"),
    ],
)
def test_what_a_tracker_cannot_tell_apart_is_refused(parts: tuple[Mapping[str, Any], ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        join_own("mine", *parts)


def test_no_value_takes_the_place_of_a_column_of_trials(store: Store) -> None:
    trial = store.study("ablate_parts").trials[0]
    assert trial.to_row().keys() - trial.config.keys() - trial.metrics.keys() <= RESERVED
