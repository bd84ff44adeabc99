"""The units of a data set's deltas and the test that called its DEGs, as captions and tables name them."""

from collections.abc import Mapping
from typing import Any

LOG1P_UNITS = "log1p units"
"""Units of expression prepared from cells."""

RESPONSE_UNITS = "units of the responses"
"""Units of responses where none are named."""

_TESTS = {"mann_whitney": "Mann-Whitney test", "welch": "Welch's t-test"}
_ADJUSTMENTS = {"fdr": "Benjamini-Hochberg, FDR below 0.05", "none": "p below 0.05, not adjusted"}


def describe_units(manifest: Mapping[str, Any]) -> str:
    """Name the units of a prepared data set's deltas; a manifest without a kind is one of cells."""
    if manifest.get("kind", "cells") == "cells":
        return LOG1P_UNITS
    return str(manifest.get("choices", {}).get("units") or RESPONSE_UNITS)


def describe_degs(manifest: Mapping[str, Any]) -> str:
    """Describe what called a prepared data set's DEGs: a test of its cells, or a layer of its responses."""
    choices = manifest.get("choices", {})
    if manifest.get("kind", "cells") == "cells":
        test = _TESTS[choices.get("deg_test", "mann_whitney")]
        return f"{test}, {_ADJUSTMENTS[choices.get('deg_adjust', 'fdr')]}"
    layer = choices.get("significant_layer")
    return f"marked by the responses' layer '{layer}'" if layer else "none: the responses mark no gene"
