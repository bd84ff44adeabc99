"""The units of a data set's deltas and the test that called its DEGs, as captions and tables name them."""

from adapert.data.manifest import MEDIAN_COUNTS, Manifest

LOG1P_UNITS = "log1p units"
"""Units of expression prepared from cells."""

RESPONSE_UNITS = "units of the responses"
"""Units of responses where none are named."""

_TESTS = {"mann_whitney": "Mann-Whitney test", "welch": "Welch's t-test"}
_ADJUSTMENTS = {"fdr": "Benjamini-Hochberg, FDR below 0.05", "none": "p below 0.05, not adjusted"}


def describe_units(manifest: Manifest) -> str:
    """Name the units of a prepared data set's deltas."""
    return LOG1P_UNITS if manifest.kind == "cells" else manifest.choices.units or RESPONSE_UNITS


def describe_degs(manifest: Manifest) -> str:
    """Describe what called a prepared data set's DEGs: a test of its cells, or a layer of its responses."""
    if manifest.kind == "cells":
        return f"{_TESTS[manifest.choices.deg_test]}, {_ADJUSTMENTS[manifest.choices.deg_adjust]}"
    layer = manifest.choices.significant_layer
    return f"marked by the responses' layer '{layer}'" if layer else "none: the responses mark no gene"


def counts_per_cell(manifest: Manifest) -> float | None:
    """Tell how many counts a cell has on a prepared data set's scale; None of log values and of responses."""
    if MEDIAN_COUNTS not in manifest.counts:
        return None
    target_sum = manifest.choices.target_sum
    return float(manifest.counts[MEDIAN_COUNTS] if isinstance(target_sum, str) else target_sum)
