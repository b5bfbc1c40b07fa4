"""A dictionary of model parameters, each with the type it has in the `.tflite` file."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from mltk.errors import SpecificationError, did_you_mean
from mltk.tflite import _dictionary
from mltk.tflite._dictionary import DTYPES
from mltk.tflite.graph import TfliteGraph

TFLITE_METADATA_TAG = "SL_PARAMSv1"
"""Name of the metadata entry that holds the parameters."""

_INTEGERS = {
    name: (np.iinfo(name).min, np.iinfo(name).max)
    for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
}
_FLOAT32 = np.finfo(np.float32)
_SOURCE = "The model parameters"


class TfliteModelParameters(dict[str, Any]):
    """Model parameters: a dictionary whose values are `bool`, `int`, `float`, `str`, `bytes` or a list.

    A value is checked as soon as it is set, however it is set. Without a `dtype` its type in the file is
    inferred:

    - `bool`: `bool`; `str`: `str`; `bytes`, `bytearray`: `bin`; NumPy numbers as the Python ones.
    - `int`: the smallest of `uint8`, `uint16`, `uint32`, `uint64` for zero and above, of `int8` … `int64`
      below.
    - `float`: `float` (32 bit) for normal positive numbers of that type, `double` for all others, so also for
      0.0 and for negative numbers.
    - `list`, `tuple` and one-dimensional arrays, by their first element: `str_list`, `int32_list`,
      `float_list`; all elements must agree, and the empty list is a `str_list`.

    The types of what is read from a file are kept until a key is set anew, so reading and writing gives the
    same bytes. `float` values lose precision when they are written, not before.
    """

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:
        super().__init__()
        self._dtypes: dict[str, str] = {}
        self.update(values, **more)

    def put(self, key: str, value: Any, dtype: str | None = None) -> None:
        """Set a parameter.

        Args:
            key: Its name.
            value: Its value.
            dtype: One of `DTYPES`, or `None` to infer it (see the class).

        Raises:
            SpecificationError: The name is not a text, the value has no type in the file, or does not fit
                `dtype`.
        """
        if not isinstance(key, str) or not key:
            raise SpecificationError(f"The name of a model parameter must be a text, not {key!r}.")
        _encodable(key, key)
        if dtype is not None and dtype not in DTYPES:
            raise SpecificationError(
                f"Model parameter '{key}': there is no type '{dtype}'."
                f"{did_you_mean(dtype, DTYPES)} The types are {', '.join(DTYPES)}."
            )
        plain = _plain(key, value)
        checked = _check(key, plain, dtype or _infer(key, plain))
        super().__setitem__(key, checked)
        if dtype is None:
            self._dtypes.pop(key, None)
        else:
            self._dtypes[key] = dtype

    def dtype(self, key: str) -> str:
        """Return the type that a parameter has, or will have, in the file: one of `DTYPES`."""
        return self._dtypes.get(key) or _infer(key, self[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        """Set several parameters; those of another `TfliteModelParameters` keep their types."""
        for key, value in dict(values, **more).items():
            kept = (
                values._dtypes.get(key)
                if isinstance(values, TfliteModelParameters) and key not in more
                else None
            )
            self.put(key, value, kept)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, set to `default` first if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def copy(self) -> Self:
        """Return a copy with the same values and types."""
        return type(self)(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # The default pickles the values before the types, and setting a value forgets its type.
        return _restore, (type(self), dict(self), {k: v for k, v in self._dtypes.items() if k in self})

    def serialize(self) -> bytes:
        """Return the parameters as a dictionary flatbuffer.

        Raises:
            SpecificationError: A list that was set has since been changed to something that cannot be
                written.
        """
        entries = []
        for key, value in self.items():
            dtype = self.dtype(key)
            entries.append((key, dtype, _check(key, _plain(key, value), dtype)))
        return _dictionary.pack(entries)

    @classmethod
    def deserialize(cls, serialized_data: bytes) -> Self:
        """Return the parameters of a dictionary flatbuffer, with their types.

        If a key is there more than once, its first value counts, as it does for the reader on the device.

        Raises:
            FileFormatError: The data are damaged.
        """
        return cls._read(serialized_data, _SOURCE)

    @classmethod
    def _read(cls, data: bytes, source: str) -> Self:
        parameters = cls()
        for key, dtype, value in _dictionary.unpack(data, source):
            if key not in parameters:
                # Not `put`: what another writer put into a file is taken as it is, an empty name too.
                dict.__setitem__(parameters, key, value)
                parameters._dtypes[key] = dtype
        return parameters

    @classmethod
    def load_from_tflite_file(cls, path: str | os.PathLike[str], tag: str | None = None) -> Self:
        """Return the parameters of a `.tflite` file; empty if it has none.

        Args:
            path: The file.
            tag: Name of the metadata entry, if not `TFLITE_METADATA_TAG`.

        Raises:
            ModelNotFoundError: There is no such file.
            FileFormatError: The file or its parameters are damaged.
        """
        return cls.load_from_tflite_model(TfliteGraph.load_flatbuffer_file(path), tag)

    @classmethod
    def load_from_tflite_flatbuffer(cls, flatbuffer_data: bytes, tag: str | None = None) -> Self:
        """Return the parameters of a `.tflite` in memory; empty if it has none."""
        return cls.load_from_tflite_model(TfliteGraph(flatbuffer_data), tag)

    @classmethod
    def load_from_tflite_model(cls, tflite_model: TfliteGraph, tag: str | None = None) -> Self:
        """Return the parameters of a `TfliteModel`; empty if it has none."""
        data = tflite_model.get_metadata(tag or TFLITE_METADATA_TAG)
        if data is None:
            return cls()
        place = f" of '{tflite_model.path}'" if tflite_model.path else ""
        return cls._read(data, _SOURCE + place)

    def add_to_tflite_file(
        self, path: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
    ) -> None:
        """Put the parameters into a `.tflite` file, in place of those it has.

        Args:
            path: The file.
            output: Where the result goes; `None` replaces `path`.
        """
        tflite_model = TfliteGraph.load_flatbuffer_file(path)
        self.add_to_tflite_model(tflite_model)
        tflite_model.save(output or path)

    def add_to_tflite_flatbuffer(self, flatbuffer_data: bytes) -> bytes:
        """Return the `.tflite` in memory with these parameters in place of those it has."""
        tflite_model = TfliteGraph(flatbuffer_data)
        self.add_to_tflite_model(tflite_model)
        return tflite_model.flatbuffer_data

    def add_to_tflite_model(self, tflite_model: TfliteGraph) -> None:
        """Put the parameters into a `TfliteModel`, in place of those it has."""
        tflite_model.add_metadata(TFLITE_METADATA_TAG, self.serialize())

    def summary(self) -> str:
        """Return one line `name: value` per parameter."""
        return "\n".join(f"{key}: {format_value(value)}" for key, value in self.items())


def format_value(value: Any) -> str:
    """Return a parameter's value as one short line of text."""
    if isinstance(value, bytes):
        return f"{value[:16].hex()}{'…' if len(value) > 16 else ''} ({len(value)} bytes)"
    if isinstance(value, list):
        return ", ".join(format_value(element) for element in value)
    # A float32 read from a file is shown as it was written: 0.1 and not 0.10000000149011612.
    if isinstance(value, float) and abs(value) <= float(_FLOAT32.max) and float(np.float32(value)) == value:
        return str(np.float32(value))
    return str(value)


def _restore(cls: type[TfliteModelParameters], values: dict[str, Any], dtypes: dict[str, str]) -> Any:
    parameters = cls()
    for key, value in values.items():
        parameters.put(key, value, dtypes.get(key))
    return parameters


def _error(key: str, problem: str) -> SpecificationError:
    return SpecificationError(f"Model parameter '{key}' {problem}.")


def _encodable(key: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _error(
            key.encode(errors="replace").decode(), "holds a text that is not valid Unicode"
        ) from None


def _plain(key: str, value: Any) -> Any:
    """Return `value` as `bool`, `int`, `float`, `str`, `bytes` or a new list of those."""
    if isinstance(value, np.bool_ | np.integer | np.floating) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    ):
        return value.item()
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value.tolist()
    # No list in a list: among them may be lists that hold themselves.
    if isinstance(value, list | tuple) and not any(isinstance(v, list | tuple) for v in value):
        return [_plain(key, element) for element in value]
    if isinstance(value, bool | int | float | str | bytes):
        return value
    raise _error(
        key,
        f"is a {type(value).__name__}; it must be a bool, int, float, str, bytes, or list of int, float, str",
    )


def _infer(key: str, value: Any) -> str:
    """Return the name of the type for a plain value."""
    if isinstance(value, list):
        first = value[0] if value else ""
        if isinstance(first, str):
            return "str_list"
        return "int32_list" if isinstance(first, int) else "float_list"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        unsigned = value >= 0
        for name, (low, high) in _INTEGERS.items():
            if name.startswith("u") == unsigned and low <= value <= high:
                return name
        raise _error(key, f"is {value}, which does not fit into 64 bits")
    if isinstance(value, float):
        return "float" if float(_FLOAT32.tiny) <= value <= float(_FLOAT32.max) else "double"
    return "str" if isinstance(value, str) else "bin"


def _check(key: str, value: Any, dtype: str) -> Any:
    """Return a plain value in the Python type of `dtype`, or raise an error that names the key."""
    if dtype.endswith("_list"):
        if not isinstance(value, list):
            raise _error(key, f"is {value!r}, but the type {dtype} needs a list")
        element = dtype.removesuffix("_list")
        return [_check(f"{key}[{i}]", v, element) for i, v in enumerate(value)]
    if dtype == "bool" and isinstance(value, bool):
        return value
    if dtype in _INTEGERS and isinstance(value, int):
        low, high = _INTEGERS[dtype]
        if low <= value <= high:
            return int(value)
        raise _error(key, f"is {value}, which is outside {low} to {high} ({dtype})")
    if dtype in ("float", "double") and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            struct.pack("<f" if dtype == "float" else "<d", value)
        except (OverflowError, struct.error):
            raise _error(key, f"is {value}, which is too large for the type {dtype}") from None
        return float(value)
    if dtype == "str" and isinstance(value, str):
        _encodable(key, value)
        return value
    if dtype == "bin" and isinstance(value, bytes):
        return value
    raise _error(key, f"is {value!r}, which is not of the type {dtype}")
