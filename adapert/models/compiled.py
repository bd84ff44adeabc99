"""Kernels for a CPU: functions over arrays, compiled at their first call and kept on disk."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function with numba's options."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # no folder to cache in, as on a read-only system
            return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return decorate
