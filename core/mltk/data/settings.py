"""Checks of the settings that users give to data generators; each error names the setting and its value."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from mltk.errors import SpecificationError, did_you_mean

DEFAULT_SEED = 42
"""Seed of iterators that are given none."""

SUBSETS = (None, "training", "validation")
"""What `subset` of a generator may be: everything, or a part that `validation_split` makes."""

Range = tuple[float, float]


def number(name: str, value: Any, least: float | None = None, most: float | None = None) -> float:
    """Return a finite number, within the bounds where they are given."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise SpecificationError(f"{name} must be a number, not {value!r}.")
    checked = float(value)
    if least is not None and checked < least:
        raise SpecificationError(f"{name} must be at least {least}, not {value!r}.")
    if most is not None and checked > most:
        raise SpecificationError(f"{name} must be at most {most}, not {value!r}.")
    return checked


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SpecificationError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def ascending(name: str, value: Any, least: float | None = None, most: float | None = None) -> Range:
    """Return a pair `(least, greatest)` of numbers, within the bounds where they are given."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != 2:
        raise SpecificationError(f"{name} must be a pair (least, greatest), not {value!r}.")
    low, high = (number(name, v, least, most) for v in value)
    if low > high:
        raise SpecificationError(f"{name} must be (least, greatest), not {value!r}.")
    return low, high


def factors(name: str, value: Any) -> Range | None:
    """Return a pair of factors of at least 0, or `None` for `None`."""
    if value is None:
        return None
    low, high = ascending(name, value)
    if low < 0:
        raise SpecificationError(f"{name} holds factors of at least 0, not {low}.")
    return low, high


def choice(name: str, value: Any, valid: tuple[Any, ...]) -> Any:
    """Return `value`, which must be one of `valid`."""
    if value not in valid:
        choices = ", ".join(map(repr, valid))
        raise SpecificationError(
            f"{name} must be one of {choices}; not {value!r}.{did_you_mean(str(value), valid)}"
        )
    return value


def function(name: str, value: Any) -> None:
    """Refuse what is neither `None` nor callable."""
    if value is not None and not callable(value):
        raise SpecificationError(f"{name} must be a function, not {value!r}.")


def data_type(name: str, value: Any) -> np.dtype[Any]:
    """Return a type of NumPy; `None` means float32."""
    try:
        return np.dtype(np.float32 if value is None else value)
    except TypeError:
        raise SpecificationError(
            f"{name} must name a type of numpy, e.g. 'float32', not {value!r}."
        ) from None


def batch_size(value: Any) -> int:
    """Return a number of samples in a batch, or -1 for all of them."""
    if whole("batch_size", value, least=-1) == 0:
        raise SpecificationError("batch_size must be 1 or more, or -1 for everything in one batch, not 0.")
    return int(value)


def seed(value: int | None) -> int:
    """Return a seed of at least 0; `None` means `DEFAULT_SEED`."""
    return DEFAULT_SEED if value is None else whole("seed", value, least=0)


def split_fraction(value: Any) -> float:
    """Return a `validation_split`: at least 0 and below 1."""
    fraction = number("validation_split", value, least=0)
    if fraction >= 1:
        raise SpecificationError(f"validation_split must be below 1, not {value}.")
    return fraction


def split_of(subset: str | None, validation_split: float) -> Range | None:
    """Return the first and last fraction of each class that a subset is."""
    if subset is None:
        return None
    return (0.0, validation_split) if subset == "validation" else (validation_split, 1.0)


def describe_settings(settings: Any) -> str:
    """Return the fields of a dataclass that differ from the defaults, one `name: value` on a line.

    Those of its bases come last.
    """
    defaults = type(settings)()
    own = inspect.get_annotations(type(settings))
    lines = []
    for name in sorted(settings.__dataclass_fields__, key=lambda field: field not in own):
        value = getattr(settings, name)
        if repr(value) != repr(getattr(defaults, name)):
            shown = [s.name for s in value] if name.endswith("augmentation_steps") else value
            lines.append(f"{name}: {getattr(shown, '__name__', shown)}")
    return "\n".join(lines)
