"""Check the settings that users give to data generators; each error names the setting and its value."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TypeVar

import numpy as np

from mltk.errors import SpecificationError, did_you_mean

DEFAULT_SEED = 42
"""Seed of iterators that are given none."""

SUBSETS = (None, "training", "validation")
"""Values of `subset` in `flow…`: everything, or a part that `validation_split` makes."""

CALLBACK_ARGUMENTS = ("class_id", "filename", "batch_index", "batch_class_ids", "batch_filenames")
"""Arguments that a callback may name after its two positional arguments `(params, x)`."""

Range = tuple[float, float]
"""Minimum and maximum."""

Value = TypeVar("Value")


def check_number(
    name: str, value: object, minimum: float | None = None, maximum: float | None = None
) -> float:
    """Return a finite number within the bounds that are given.

    Raises:
        SpecificationError: The value is not a number, or out of bounds; likewise in all functions below.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise SpecificationError(f"{name} must be a number, got {value!r}.")
    checked = float(value)
    if minimum is not None and checked < minimum:
        raise SpecificationError(f"{name} must be at least {minimum}, got {value!r}.")
    if maximum is not None and checked > maximum:
        raise SpecificationError(f"{name} must be at most {maximum}, got {value!r}.")
    return checked


def check_integer(name: str, value: object, minimum: int) -> int:
    """Return an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise SpecificationError(f"{name} must be an integer of at least {minimum}, got {value!r}.")
    return int(value)


def check_range(
    name: str, value: object, minimum: float | None = None, maximum: float | None = None
) -> Range:
    """Return a pair `(minimum, maximum)` of numbers within the bounds that are given."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) != 2:
        raise SpecificationError(f"{name} must be a pair (minimum, maximum), got {value!r}.")
    low, high = (check_number(name, v, minimum, maximum) for v in value)
    if low > high:
        raise SpecificationError(f"{name} must be (minimum, maximum), got {value!r}.")
    return low, high


def check_factors(name: str, value: object) -> Range | None:
    """Return a pair of factors of at least 0, or `None` for `None`."""
    return None if value is None else check_range(name, value, minimum=0)


def check_choice(name: str, value: Value, valid: tuple[Value, ...]) -> Value:
    """Return `value`, which must be one of `valid`."""
    if value not in valid:
        choices = ", ".join(map(repr, valid))
        raise SpecificationError(
            f"{name} must be one of {choices}; got {value!r}.{did_you_mean(str(value), valid)}"
        )
    return value


def check_function(name: str, value: object) -> None:
    """Refuse a value that is neither `None` nor callable."""
    if value is not None and not callable(value):
        raise SpecificationError(f"{name} must be a function, got {value!r}.")


def check_dtype(name: str, value: object) -> np.dtype[np.generic]:
    """Return a NumPy data type; `None` means float32."""
    try:
        return np.dtype(np.float32 if value is None else value)  # type: ignore[call-overload, no-any-return]  # any object
    except TypeError:
        raise SpecificationError(
            f"{name} must name a NumPy data type, e.g. 'float32', got {value!r}."
        ) from None


def check_batch_size(value: object) -> int:
    """Return a batch size: a number of samples, or -1 for all of them."""
    if check_integer("batch_size", value, minimum=-1) == 0:
        raise SpecificationError("batch_size must be at least 1, or -1 for one batch of all samples; got 0.")
    return int(value)  # type: ignore[call-overload, no-any-return]  # an Integral, checked above


def check_seed(value: int | None) -> int:
    """Return a seed of at least 0; `None` means `DEFAULT_SEED`."""
    return DEFAULT_SEED if value is None else check_integer("seed", value, minimum=0)


def check_split(value: object) -> float:
    """Return a `validation_split`: at least 0 and below 1."""
    fraction = check_number("validation_split", value, minimum=0)
    if fraction >= 1:
        raise SpecificationError(f"validation_split must be below 1, got {value}.")
    return fraction


def get_split(subset: str | None, validation_split: float) -> Range | None:
    """Return the first and last fraction of each class that form a subset; `None` for everything."""
    if subset is None:
        return None
    return (0.0, validation_split) if subset == "validation" else (validation_split, 1.0)


def check_callback(name: str, value: object) -> None:
    """Refuse a value that is neither `None` nor a callback with a valid signature."""
    check_function(name, value)
    if callable(value):
        get_callback_arguments(value)


def get_callback_arguments(function: Callable[..., object]) -> tuple[str, ...]:
    """Return those of `CALLBACK_ARGUMENTS` that a callback's signature names.

    Raises:
        SpecificationError: It does not take `(params, x)`, or requires an argument that does not exist.
    """
    return select_arguments(function, CALLBACK_ARGUMENTS, describe_callback(function), "(params, x)")


def select_arguments(
    function: Callable[..., object], available: Sequence[str], description: str, positional: str
) -> tuple[str, ...]:
    """Return those of the `available` keyword arguments that a function names after two positional ones.

    Args:
        function: A callback or an augmentation step.
        available: Names of the arguments it may have.
        description: The function's name in an error message.
        positional: The two positional arguments, for the error message.

    Raises:
        SpecificationError: The function takes fewer than two positional arguments, or requires an argument that
            is not available.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        named = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    elif sum(p.kind in kinds for p in parameters) >= 2:
        named = parameters[2:]
    else:
        raise SpecificationError(f"{description} must take two positional arguments, {positional}.")
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named):
        return tuple(available)
    for parameter in named:
        if parameter.name not in available and parameter.default is inspect.Parameter.empty:
            raise SpecificationError(
                f"{description} requires the argument '{parameter.name}', which does not exist. Besides "
                f"{positional} it may name: {', '.join(available)}.{did_you_mean(parameter.name, available)}"
            )
    return tuple(p.name for p in named if p.name in available)


def describe_callback(function: Callable[..., object] | None) -> str:
    """Return a callback's name for messages."""
    return f"The callback '{getattr(function, '__name__', None) or type(function).__name__}'"
