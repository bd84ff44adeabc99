from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from adapert.data import row_chunks
from adapert.data.formats.stored import StoredRows

VALUES = np.random.default_rng(0).poisson(0.7, (12, 9)).astype(np.float32)
VALUES[[0, 5, 11]] = 0


@pytest.fixture
def stored(tmp_path: Path) -> StoredRows:
    parts = (scipy.sparse.csr_array(VALUES[rows]) for rows in (slice(0, 5), slice(5, 6), slice(6, 12)))
    return StoredRows.write(tmp_path / "rows", parts, VALUES.shape[1])


def test_rows_come_back_in_the_order_asked_for(stored: StoredRows) -> None:
    rows = np.array([7, 0, 3, 11, 3])
    np.testing.assert_array_equal(stored.take(rows).toarray(), VALUES[rows])


def test_empty_rows_come_back(stored: StoredRows) -> None:
    assert stored.take(np.array([0, 5])).toarray().sum() == 0
    assert len(stored) == 12


def test_some_rows_can_be_gone_through_again(stored: StoredRows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", 8)
    some = stored.some(np.array([1, 2, 6, 9, 10]))
    for _ in range(2):
        found = np.concatenate([part.toarray() for part in some])
        np.testing.assert_array_equal(found, VALUES[[1, 2, 6, 9, 10]])
