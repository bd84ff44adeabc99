import numpy as np
import pytest

from adapert.data import row_chunks
from adapert.data.row_chunks import cut_rows, starts_of


def cut(monkeypatch: pytest.MonkeyPatch, lengths: list[int], values_at_once: int) -> list[tuple[int, int]]:
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", values_at_once)
    return list(cut_rows(starts_of(np.array(lengths))))


def test_chunks_are_as_long_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, [2, 3, 1, 4, 4], 6) == [(0, 3), (3, 4), (4, 5)]


def test_row_that_is_too_long_comes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, [1, 9, 1, 1], 3) == [(0, 1), (1, 2), (2, 4)]


def test_empty_rows_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, [0, 0, 3, 0], 3) == [(0, 4)]


def test_no_rows_make_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cut(monkeypatch, [], 3) == []
