"""Functions of the user's that are called with arguments of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from mltk.errors import SpecificationError


def check_call(function: Callable[..., object], what: str, *args: object, **kwargs: object) -> None:
    """Refuse a function that cannot be called with these arguments.

    Args:
        function: The function.
        what: What it is in the specification, for the message.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Raises:
        SpecificationError: The message has the file and the line of the function.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        code = getattr(inspect.unwrap(function), "__code__", None)
        place = f"{code.co_filename}, line {code.co_firstlineno}: " if code else ""
        given = ["my_model"] * len(args) + [f"{name}=…" for name in kwargs]
        wanted = "(my_model)" if args else "(subset, test, **kwargs)"
        name = getattr(function, "__name__", type(function).__name__)
        raise SpecificationError(
            f"{place}{what} is {name}{signature}, but it is called as {name}({', '.join(given)}): "
            f"define it as {name}{wanted}."
        ) from None


def call_with_known(function: Callable[..., object], available: Mapping[str, object]) -> object:
    """Call a function with those of the arguments, by name, that it takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # Some built-in functions have no signature.
        return function()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return function(**available)
    return function(**{name: value for name, value in available.items() if name in parameters})
