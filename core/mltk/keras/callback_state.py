"""Write the state of a specification's callbacks as JSON after each epoch, and restore it for `--resume`. No pickle.

A callback may say what to keep with two methods: `get_state()` returns plain values (numbers, text, lists, dicts,
NumPy arrays), and `set_state(state)` takes them back. Without them, the attributes that have changed since the
callback was created are kept, if they are plain values.
"""

from __future__ import annotations

import base64
import logging
import random
import re
import types
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from mltk.keras.private import CALLBACK_STATE

# Set by Keras when a training run begins, also in callbacks that derive from Keras' own.
_MADE_ANEW = ("_model", "_params", "model", "params", "validation_data", "best_weights", "monitor_op")
# Objects that keep nothing from epoch to epoch, for all that can be known.
_CONSTANT = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    Path,
    re.Pattern,
    logging.Logger,
)
_MAX_ARRAY_BYTES = 1 << 20
_MAX_DEPTH = 8


class NotPlainError(TypeError):
    """A value cannot be written as JSON and read back."""


def encode(value: object, depth: int = 0) -> object:
    """Return plain data as values that JSON has.

    Args:
        value: Numbers, text, `None`, lists, tuples, sets, dicts, deques, random generators, variables, and NumPy
            arrays of up to 1 MiB.
        depth: Of nested containers around it.

    Raises:
        NotPlainError: It is something else.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth > _MAX_DEPTH:
        raise NotPlainError
    if type(value) is list:
        return [encode(v, depth + 1) for v in value]
    if type(value) in (tuple, set, frozenset):
        return {type(value).__name__: [encode(v, depth + 1) for v in cast("tuple[object, ...]", value)]}
    if type(value) is dict:
        return {"dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    if type(value) is deque:
        return {"deque": [[encode(v, depth + 1) for v in value], value.maxlen]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if type(value) is random.Random:
        return {"random": encode(value.getstate(), depth + 1)}
    if type(value) is np.random.Generator:
        return {"generator": encode(dict(value.bit_generator.state), depth + 1)}
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.generic | np.ndarray):
        array = np.asarray(value)
        if array.dtype.hasobject or array.nbytes > _MAX_ARRAY_BYTES:
            raise NotPlainError
        return {"array": [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]}
    raise NotPlainError


def decode(value: object) -> object:
    """Undo `encode`."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    return _DECODERS[kind](content)


def _to_array(content: tuple[str, list[int], str]) -> object:
    dtype, shape, data = content
    array = np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
    return array.copy() if shape else array[()]


def _to_random(content: object) -> random.Random:
    generator = random.Random()
    generator.setstate(cast("tuple[object, ...]", decode(content)))
    return generator


def _to_generator(content: object) -> np.random.Generator:
    state = cast("dict[str, object]", decode(content))
    bit_generator = getattr(np.random, str(state["bit_generator"]))()
    bit_generator.state = state
    return np.random.Generator(bit_generator)


_DECODERS: Mapping[str, Callable[..., object]] = {
    "tuple": lambda content: tuple(map(decode, content)),
    "set": lambda content: set(map(decode, content)),
    "frozenset": lambda content: frozenset(map(decode, content)),
    "dict": lambda content: {decode(k): decode(v) for k, v in content},
    "deque": lambda content: deque(map(decode, content[0]), content[1]),
    "bytes": base64.b64decode,
    "array": _to_array,
    "random": _to_random,
    "generator": _to_generator,
}


class CallbackKeeper:
    """Reads and restores the state of one callback.

    Args:
        callback: A Keras callback, as it was created.
    """

    def __init__(self, callback: object) -> None:
        self.callback = callback
        self.is_of_keras = type(callback).__module__.startswith(("keras.", "mltk."))
        self.has_methods = all(callable(getattr(callback, n, None)) for n in ("get_state", "set_state"))
        self._created = {} if self.is_of_keras else self._attributes()[0]
        self._objects = dict(vars(callback))

    def read(self) -> tuple[dict[str, object], list[str]]:
        """Return the state, and the names of attributes that cannot be kept.

        Raises:
            NotPlainError: `get_state` returns something that cannot be kept.
        """
        if self.has_methods:
            return {"get_state": encode(self.callback.get_state())}, []  # type: ignore[attr-defined]  # just checked
        if self.is_of_keras:
            found = {n: getattr(self.callback, n) for n in CALLBACK_STATE if hasattr(self.callback, n)}
            return {n: _number(v) for n, v in found.items()}, []
        values, others = self._attributes()
        changed = {n: v for n, v in values.items() if n not in self._created or self._created[n] != v}
        return changed, others

    def restore(self, values: Mapping[str, object]) -> None:
        """Give the callback its state back."""
        if self.has_methods and "get_state" in values:
            self.callback.set_state(decode(values["get_state"]))  # type: ignore[attr-defined]  # just checked
            return
        for name, value in values.items():
            value = value if self.is_of_keras else decode(value)
            variable: Any = getattr(self.callback, name, None)
            if hasattr(variable, "assign"):
                variable.assign(value)
            else:
                setattr(self.callback, name, value)

    def _attributes(self) -> tuple[dict[str, object], list[str]]:
        values: dict[str, object] = {}
        others = []
        # Keras turns it round when it has chosen the direction.
        skipped = {*_MADE_ANEW, "min_delta"} if hasattr(self.callback, "monitor_op") else _MADE_ANEW
        for name, value in vars(self.callback).items():
            if name in skipped:
                continue
            try:
                values[name] = encode(value)
            except NotPlainError:
                if not self._is_constant(name, value):
                    others.append(name)
        return values, others

    def _is_constant(self, name: str, value: object) -> bool:
        """Return whether an object of this kind, there from the beginning, keeps no state."""
        if value is getattr(self.callback, "model", None):
            return True
        before = getattr(self, "_objects", {}).get(name, value)
        # The specification, and functions of libraries that are objects: losses, activations, types.
        modules = [cls.__module__.split(".")[0] for cls in type(value).__mro__]
        has_state = any(getattr(value, n, None) for n in ("variables", "weights"))
        of_libraries = not has_state and not {"keras", "tensorflow", "mltk"}.isdisjoint(modules)
        return before is value and (of_libraries or isinstance(value, _CONSTANT))


def _number(value: object) -> object:
    is_array = isinstance(value, np.generic | np.ndarray) or hasattr(value, "numpy")
    return float(cast("float", value)) if is_array else value
