"""Number of worker threads."""

from __future__ import annotations

import os

from mltk.errors import SpecificationError


def worker_count(cores: float, name: str = "cores") -> int:
    """Convert a setting to a number of threads, at least 1.

    Args:
        cores: An int is the number itself, a float is a fraction (0 to 1) of the cores of this process.
        name: Of the setting, for messages.

    Raises:
        SpecificationError: The value is neither.
    """
    if isinstance(cores, bool) or not isinstance(cores, int | float):
        raise SpecificationError(
            f"{name} must be a number of threads or a fraction of the cores, not {cores!r}."
        )
    if isinstance(cores, int):
        if cores < 1:
            raise SpecificationError(f"{name} must be at least 1, not {cores}.")
        return cores
    if not 0 < cores <= 1:
        raise SpecificationError(f"{name} as a fraction must be above 0 and at most 1.0, not {cores}.")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, round(available * cores))
