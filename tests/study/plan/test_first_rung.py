import json

import pytest

from adapert.errors import InputError
from adapert.study.plan.first_rung import (
    FirstRung,
    FixedRung,
    LearnedRung,
    first_rung_from_json,
    first_rung_to_json,
    name_first_rung,
    parse_first_rung,
)


@pytest.mark.parametrize(
    ("given", "first_rung"), [("auto", LearnedRung()), ("12", FixedRung(12)), (3, FixedRung(3))]
)
def test_a_first_rung_is_read_as_it_is_named(given: str | int, first_rung: FirstRung) -> None:
    assert parse_first_rung(given) == first_rung
    assert name_first_rung(first_rung_to_json(first_rung)) == str(given)


@pytest.mark.parametrize("given", ["", "0", "-1", "1.5", "1_0", "never", "٣", True])
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(InputError, match=r"--min-epochs must be auto or a whole number of at least 1"):
        parse_first_rung(given)


@pytest.mark.parametrize("first_rung", [FixedRung(7), LearnedRung(n_trials=5, agreement=0.4)])
def test_a_first_rung_comes_back_from_json_as_it_was(first_rung: FirstRung) -> None:
    assert first_rung_from_json(json.loads(json.dumps(first_rung_to_json(first_rung)))) == first_rung
