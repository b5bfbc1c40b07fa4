"""Model parameters and their types in a `.tflite` file."""

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
"""Name of the metadata entry with the parameters."""

_INTEGERS = {
    name: (np.iinfo(name).min, np.iinfo(name).max)
    for name in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
}
_FLOAT32 = np.finfo(np.float32)
_SOURCE = "The model parameters"


class TfliteModelParameters(dict[str, Any]):
    """Model parameters: a dictionary of `bool`, `int`, `float`, `str`, `bytes` and list values.

    Every value is checked when it is set. Without a `dtype`, its type in the file is inferred:

    - `bool`: `bool`; `str`: `str`; `bytes`, `bytearray`: `bin`; NumPy numbers like Python numbers.
    - `int`: the smallest of `uint8` … `uint64` if non-negative, otherwise of `int8` … `int64`.
    - `float`: `float` (32 bit) for normal positive numbers of that type, `double` for all others, including
      0.0 and negative numbers.
    - `list`, `tuple` and one-dimensional arrays: `str_list`, `int32_list` or `float_list`, by the first
      element. All elements must have the same type; an empty list is a `str_list`.

    Parameters read from a file keep their types until they are set again, so that reading and writing gives
    the same bytes. `float` values lose precision only when they are written.
    """

    def __init__(
        self, values: Mapping[str, object] | Iterable[tuple[str, object]] = (), /, **more: object
    ) -> None:
        super().__init__()
        self._dtypes: dict[str, str] = {}
        self.update(values, **more)

    def put(self, key: str, value: object, dtype: str | None = None) -> None:
        """Set a parameter.

        Args:
            key: Name of the parameter, not empty.
            value: Value of the parameter.
            dtype: One of `DTYPES`; `None` infers it (see the class).

        Raises:
            SpecificationError: The name is not a string, or the value has an unsupported type or does not match
                `dtype`.
        """
        if not isinstance(key, str) or not key:
            raise SpecificationError(
                f"The name of a model parameter must be a non-empty string, got {key!r}."
            )
        _check_unicode(key, key)
        if dtype is not None and dtype not in DTYPES:
            raise SpecificationError(
                f"Model parameter '{key}' has the unknown type '{dtype}'."
                f"{did_you_mean(dtype, DTYPES)} Use one of {', '.join(DTYPES)}."
            )
        plain = _to_plain(key, value)
        checked = _check_value(key, plain, dtype or _infer_dtype(key, plain))
        super().__setitem__(key, checked)
        if dtype is None:
            self._dtypes.pop(key, None)
        else:
            self._dtypes[key] = dtype

    def dtype(self, key: str) -> str:
        """Return the type of a parameter in the file: one of `DTYPES`."""
        return self._dtypes.get(key) or _infer_dtype(key, self[key])

    def __setitem__(self, key: str, value: object) -> None:
        self.put(key, value)

    def update(  # type: ignore[override]  # one signature instead of the overloads of `dict`
        self, values: Mapping[str, object] | Iterable[tuple[str, object]] = (), /, **more: object
    ) -> None:
        """Set parameters; those of another `TfliteModelParameters` keep their types."""
        for key, value in dict(values, **more).items():
            kept = (
                values._dtypes.get(key)
                if isinstance(values, TfliteModelParameters) and key not in more
                else None
            )
            self.put(key, value, kept)

    def setdefault(self, key: str, default: object = None) -> Any:
        """Return the value of `key`; set it to `default` first if it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Mapping[str, object] | Iterable[tuple[str, object]]) -> Self:  # type: ignore[override,misc]  # as `update`
        self.update(other)
        return self

    def copy(self) -> Self:
        """Return a copy with the same values and types."""
        return type(self)(self)

    def __reduce__(self) -> tuple[object, ...]:
        # By default, `__setitem__` would restore the values and discard their types.
        return _restore, (type(self), dict(self), {k: v for k, v in self._dtypes.items() if k in self})

    def serialize(self) -> bytes:
        """Return the parameters as a dictionary flatbuffer.

        Raises:
            SpecificationError: A list was changed after it was set and is no longer valid.
        """
        entries = []
        for key, value in self.items():
            dtype = self.dtype(key)
            entries.append((key, dtype, _check_value(key, _to_plain(key, value), dtype)))
        return _dictionary.pack(entries)

    @classmethod
    def deserialize(cls, serialized_data: bytes) -> Self:
        """Return the parameters of a dictionary flatbuffer, with their types.

        The first of several values with the same key is used, as on the device.

        Raises:
            FileFormatError: The data are damaged.
        """
        return cls._read(serialized_data, _SOURCE)

    @classmethod
    def _read(cls, data: bytes, source: str) -> Self:
        parameters = cls()
        for key, dtype, value in _dictionary.unpack(data, source):
            if key not in parameters:
                # Not `put`, which would reject, for example, an empty name from another writer.
                dict.__setitem__(parameters, key, value)
                parameters._dtypes[key] = dtype
        return parameters

    @classmethod
    def load_from_tflite_file(cls, tflite_path: str | os.PathLike[str], tag: str | None = None) -> Self:
        """Return the parameters of a `.tflite` file; empty if it has none.

        Args:
            tflite_path: The file.
            tag: Name of the metadata entry; `TFLITE_METADATA_TAG` by default.

        Raises:
            ModelNotFoundError: The file does not exist.
            FileFormatError: The file or its parameters are damaged.
        """
        return cls.load_from_tflite_model(TfliteGraph.load_flatbuffer_file(tflite_path), tag)

    @classmethod
    def load_from_tflite_flatbuffer(cls, tflite_flatbuffer: bytes, tag: str | None = None) -> Self:
        """Return the parameters of a `.tflite` in memory; empty if it has none."""
        return cls.load_from_tflite_model(TfliteGraph(tflite_flatbuffer), tag)

    @classmethod
    def load_from_tflite_model(cls, tflite_model: TfliteGraph, tag: str | None = None) -> Self:
        """Return the parameters of a `TfliteModel`; empty if it has none."""
        data = tflite_model.get_metadata(tag or TFLITE_METADATA_TAG)
        if data is None:
            return cls()
        place = f" of '{tflite_model.path}'" if tflite_model.path else ""
        return cls._read(data, _SOURCE + place)

    def add_to_tflite_file(
        self,
        tflite_path: str | os.PathLike[str],
        output: str | os.PathLike[str] | None = None,
        tag: str | None = None,
    ) -> None:
        """Replace the parameters of a `.tflite` file.

        Args:
            tflite_path: The file.
            output: Path of the result; `None` overwrites `tflite_path`.
            tag: Name of the metadata entry; `TFLITE_METADATA_TAG` by default.
        """
        tflite_model = TfliteGraph.load_flatbuffer_file(tflite_path)
        self.add_to_tflite_model(tflite_model, tag)
        tflite_model.save(output or tflite_path)

    def add_to_tflite_flatbuffer(self, tflite_flatbuffer: bytes, tag: str | None = None) -> bytes:
        """Return the content of a `.tflite` with its parameters replaced by these."""
        tflite_model = TfliteGraph(tflite_flatbuffer)
        self.add_to_tflite_model(tflite_model, tag)
        return tflite_model.flatbuffer_data

    def add_to_tflite_model(self, tflite_model: TfliteGraph, tag: str | None = None) -> None:
        """Replace the parameters of a `TfliteModel`."""
        tflite_model.add_metadata(tag or TFLITE_METADATA_TAG, self.serialize())

    def summary(self) -> str:
        """Return one line `name: value` per parameter."""
        return "\n".join(f"{key}: {format_value(value)}" for key, value in self.items())


def format_value(value: object) -> str:
    """Format a parameter value as one short line of text."""
    if isinstance(value, bytes):
        return f"{value[:16].hex()}{'…' if len(value) > 16 else ''} ({len(value)} bytes)"
    if isinstance(value, list):
        return ", ".join(format_value(element) for element in value)
    # A float32 value is shown with its own precision: 0.1, not 0.10000000149011612.
    if isinstance(value, float) and abs(value) <= float(_FLOAT32.max) and float(np.float32(value)) == value:
        return str(np.float32(value))
    return str(value)


def _restore(
    cls: type[TfliteModelParameters], values: dict[str, object], dtypes: dict[str, str]
) -> TfliteModelParameters:
    parameters = cls()
    for key, value in values.items():
        parameters.put(key, value, dtypes.get(key))
    return parameters


def _make_error(key: str, problem: str) -> SpecificationError:
    return SpecificationError(f"Model parameter '{key}' {problem}.")


def _check_unicode(key: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _make_error(
            key.encode(errors="replace").decode(), "contains a string that is not valid Unicode"
        ) from None


def _to_plain(key: str, value: object) -> object:
    """Convert `value` to `bool`, `int`, `float`, `str`, `bytes` or a new list of these."""
    if isinstance(value, np.bool_ | np.integer | np.floating) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    ):
        return value.item()
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value.tolist()
    # Nested lists are rejected; a list could contain itself.
    if isinstance(value, list | tuple) and not any(isinstance(v, list | tuple) for v in value):
        return [_to_plain(key, element) for element in value]
    if isinstance(value, bool | int | float | str | bytes):
        return value
    raise _make_error(
        key,
        f"has the type {type(value).__name__}; it must be a bool, int, float, str, bytes, or list of int, float, str",
    )


def _infer_dtype(key: str, value: object) -> str:
    """Return the type name for a plain value."""
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
        raise _make_error(key, f"is {value}, which needs more than 64 bits")
    if isinstance(value, float):
        return "float" if float(_FLOAT32.tiny) <= value <= float(_FLOAT32.max) else "double"
    return "str" if isinstance(value, str) else "bin"


def _check_value(key: str, value: object, dtype: str) -> object:
    """Return a plain value in the Python type of `dtype`; raise an error if it does not match."""
    if dtype.endswith("_list"):
        if not isinstance(value, list):
            raise _make_error(key, f"is {value!r}, but the type {dtype} needs a list")
        element = dtype.removesuffix("_list")
        return [_check_value(f"{key}[{i}]", v, element) for i, v in enumerate(value)]
    if dtype == "bool" and isinstance(value, bool):
        return value
    if dtype in _INTEGERS and isinstance(value, int):
        low, high = _INTEGERS[dtype]
        if low <= value <= high:
            return int(value)
        raise _make_error(key, f"is {value}, which is outside {low} to {high} ({dtype})")
    if dtype in ("float", "double") and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            struct.pack("<f" if dtype == "float" else "<d", value)
        except (OverflowError, struct.error):
            raise _make_error(key, f"is {value}, which is too large for the type {dtype}") from None
        return float(value)
    if dtype == "str" and isinstance(value, str):
        _check_unicode(key, value)
        return value
    if dtype == "bin" and isinstance(value, bytes):
        return value
    raise _make_error(key, f"is {value!r}, which is not of the type {dtype}")
