"""A data set with enough training perturbations to have neighbours."""

import pytest
from fixtures.dataset import build_tiny_dataset, without_test

from adapert.data.prepared import PreparedDataset


@pytest.fixture(scope="session")
def dataset() -> PreparedDataset:
    """Ten training perturbations, two of them combinations; without its test split."""
    return without_test(build_tiny_dataset(splits=(10, 5, 3)))
