"""Lists, dictionaries, texts and modules: names of `mltk.utils.python`."""

from __future__ import annotations

import collections
import copy
import functools
import importlib.util
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from mltk.errors import FileFormatError, SpecificationError

F = TypeVar("F", bound=Callable[..., Any])
SHORT_VERSION = f"{sys.version_info.major}{sys.version_info.minor}"
"""Version of Python, e.g. `311`."""

_TRUE, _FALSE = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
# A string, which is kept, or a comment.
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)


def as_list(obj: object, split: str | None = None) -> list[Any]:
    """Return a value as a list: nothing for `None`, a text as one element or split, other iterables as they are."""
    if isinstance(obj, str):
        return [part.strip() for part in obj.split(split)] if split else [obj]
    if isinstance(obj, list):
        return obj
    return [] if obj is None else list(obj) if isinstance(obj, Iterable) else [obj]


def flatten_list(l: Iterable[Any]) -> list[Any]:  # noqa: E741 - silabs-mltk's name
    """Return the elements of nested iterables; texts are elements."""
    return list(_flat(l))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            yield from _flat(value)
        else:
            yield value


def list_rindex(lst: Sequence[object], value: object) -> int:
    """Return the last index of a value; -1 if it is missing."""
    return next((i for i in reversed(range(len(lst))) if lst[i] == value), -1)


def contains_class_type(l: Iterable[object], cls: type) -> bool:  # noqa: E741 - silabs-mltk's name
    """Return True if an element is an instance of a class."""
    return any(isinstance(element, cls) for element in l)


def get_case_insensitive(value: str | None, l: Iterable[str]) -> str | None:  # noqa: E741 - silabs-mltk's name
    """Return the text of a list that equals `value` but for case, or `None`."""
    return None if value is None else next((text for text in l if text.lower() == value.lower()), None)


def is_true(arg: object) -> bool:
    """Return True for `True`, numbers but 0, and `yes`, `true`, `on`, `1`.

    Raises:
        SpecificationError: The value is neither a text nor a number.
    """
    if not isinstance(arg, str | int):
        raise SpecificationError(f"{arg!r} is neither true nor false.")
    return arg.lower() in _TRUE if isinstance(arg, str) else arg != 0


def is_false(arg: object) -> bool:
    """Return True for `False`, 0, and `no`, `false`, `off`, `0` (see `is_true`)."""
    return arg.lower() in _FALSE if isinstance(arg, str) else not is_true(arg)


class DefaultDict(collections.defaultdict[str, Any]):
    """A dictionary that gives `None` for missing keys, as do the dictionaries in it."""

    def __init__(self, d: dict[str, Any] | None = None, **more: Any) -> None:
        given = more | (d or {})
        super().__init__(lambda: None, {key: _with_defaults(value) for key, value in given.items()})


def _with_defaults(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_defaults(element) for element in value]
    return DefaultDict(value) if isinstance(value, dict) else value


def merge_dict(
    destination: MutableMapping[str, Any], source: MutableMapping[str, Any], copy_destination: bool = False
) -> MutableMapping[str, Any]:
    """Put the values of a dictionary into another, and those of dictionaries in it into those there; return it."""
    merged = copy.deepcopy(destination) if copy_destination else destination
    for key, value in source.items():
        merged[key] = merge_dict(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


def forward_method_kwargs(**kwargs: Any) -> dict[str, Any]:
    """Return `locals()` of a method as keyword arguments for another: without `self` and private names."""
    named = {k: v for k, v in kwargs.items() if k not in ("self", "kwargs") and not k.startswith("_")}
    return {**named, **kwargs.get("kwargs", {})}


def load_json_safe(path: str | os.PathLike[str], **kwargs: Any) -> Any:
    """Read a JSON file that may have comments (`//`, `/* */`) and commas before closing brackets.

    Raises:
        FileFormatError: It is no JSON.
    """
    text = Path(path).read_text(encoding="utf-8")
    for pattern in (_COMMENT, _TRAILING_COMMA):
        text = pattern.sub(lambda match: match[1] or "", text)
    try:
        return json.loads(text, **kwargs)
    except ValueError as e:
        raise FileFormatError(f"'{os.fspath(path)}' is not JSON: {e}.") from e


def import_module_at_path(path: str | os.PathLike[str], reload: bool = False) -> ModuleType:
    """Import a Python file, or a folder with `__init__.py`, under its name.

    Raises:
        SpecificationError: There is no such file.
    """
    given = Path(path)
    file = given / "__init__.py" if given.is_dir() else given
    spec = importlib.util.spec_from_file_location(given.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise SpecificationError(f"There is no Python module at '{os.fspath(path)}'.")
    if given.stem in sys.modules and not reload:
        return sys.modules[given.stem]
    module = sys.modules[given.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def debugger_is_active() -> bool:
    """Return True in a debugger."""
    return sys.gettrace() is not None


def notebook_is_active() -> bool:
    """Return True in a notebook."""
    return "ipykernel" in sys.modules


def timeit(method: F) -> F:
    """Print the duration of each call of a function."""

    @functools.wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            print(f"{method.__name__} {1000 * (time.perf_counter() - start):4f}ms")

    return timed  # type: ignore[return-value]  # it has the signature of `method`


def set_absl_log_level(level: str | int) -> int | None:
    """Set the level of the package `absl`, if it is installed; return the previous one."""
    try:
        from absl import logging as absl_logging
    except ImportError:
        return None
    previous: int = absl_logging.get_verbosity()
    absl_logging.set_verbosity(level)
    return previous


def disable_warnings(func: F, level: str = "error") -> F:
    """Hide Python's warnings and those of the package `absl` during the calls of a function."""

    @functools.wraps(func)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        previous = set_absl_log_level(level.lower())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return func(*args, **kwargs)
        finally:
            if previous is not None:
                set_absl_log_level(previous)

    return quiet  # type: ignore[return-value]  # it has the signature of `func`
