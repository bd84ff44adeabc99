from dataclasses import replace
from typing import Any, Literal

import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.manifest import Manifest
from adapert.data.units import counts_per_cell, describe_degs, describe_units
from adapert.errors import InputError


def manifest(kind: Literal["cells", "responses"], **options: Any) -> Manifest:
    choices = PrepareChoices(kind=kind, **options)
    return Manifest(kind=kind, fingerprint="00ff", split_seed=0, choices=choices)


def test_cells_are_in_log1p_units_and_say_their_test() -> None:
    cells = manifest("cells", deg_test="welch", deg_adjust="none")
    assert describe_units(cells) == "log1p units"
    assert describe_degs(cells) == "Welch's t-test, p below 0.05, not adjusted"
    assert describe_degs(manifest("cells")) == "Mann-Whitney test, Benjamini-Hochberg, FDR below 0.05"


def test_responses_say_their_own_units_and_layer() -> None:
    responses = manifest("responses", units="rank", significant_layer="up", deg_test="welch")
    assert describe_units(responses) == "rank"
    assert describe_degs(responses) == "marked by the responses' layer 'up'"
    assert describe_units(manifest("responses")) == "units of the responses"
    assert describe_degs(manifest("responses")) == "none: the responses mark no gene"


@pytest.mark.parametrize(("target_sum", "expected"), [(10_000, 10_000), ("median", 2_500), ("none", 2_500)])
def test_the_scale_of_cells_is_their_target_or_what_they_have(target_sum: Any, expected: float) -> None:
    cells = replace(manifest("cells", target_sum=target_sum), counts={"median_counts": 2_500})
    assert counts_per_cell(cells) == expected
    assert counts_per_cell(manifest("cells")) is None  # log values, taken as they are


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"units": "rank"}, "cells are prepared to log1p units, not to 'rank'. Leave it out, or add --kind"),
        ({"kind": "responses", "units": " "}, "--units must be 1 to 40 printable characters"),
        ({"kind": "responses", "units": "$x$"}, r"without '\$', but it is '\$x\$'"),
        ({"kind": "responses", "units": "a" * 41}, "Shorten it, such as 'log2 fold change'"),
    ],
)
def test_wrong_units_are_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrepareChoices(**choices)
