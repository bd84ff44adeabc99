"""How many threads torch and the BLAS of numpy and scipy take: settings of the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Each has a BLAS of its own, which must be loaded before it can be told.
import scipy.linalg  # noqa: F401
import torch
from threadpoolctl import ThreadpoolController


def set_threads(n_threads: int) -> None:
    """Give torch, numpy and scipy a number of threads from now on.

    Eigenvectors and singular vectors depend on it by rounding, and a trained network by more.
    """
    torch.set_num_threads(n_threads)
    _blas().limit(limits=n_threads)


@contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Give torch, numpy and scipy a number of threads while the block runs."""
    before = torch.get_num_threads()
    with _blas().limit():  # puts back what is changed within
        set_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@cache
def _blas() -> ThreadpoolController:
    # To find the loaded libraries takes milliseconds.
    return ThreadpoolController().select(user_api="blas")
