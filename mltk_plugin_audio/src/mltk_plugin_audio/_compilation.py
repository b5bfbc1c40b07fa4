"""Compilation of functions with numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

_F = TypeVar("_F", bound=Callable[..., object])


def compiled(**options: object) -> Callable[[_F], _F]:
    """Return a decorator that compiles a function on its first call and releases the GIL while it runs.

    The machine code is cached on disk. If neither the package folder nor the cache folder of the user is writable, it
    is compiled again in each process.

    Args:
        **options: Further options of `numba.njit`.
    """

    def compile_function(function: _F) -> _F:
        kernel: _F
        try:
            kernel = njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:
            kernel = njit(nogil=True, **options)(function)
        return kernel

    return compile_function
