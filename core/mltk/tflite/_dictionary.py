"""The dictionary flatbuffer that holds model parameters in a `.tflite` file.

Table `Dictionary`: slot 0 `schema_version` (uint8, 1), slot 1 `entries`, a vector of `Entry`. Table `Entry`:
slot 0 `key`, slot 1 the type code, slot 2 the value, a table with one slot. The type codes are the positions
in `_TYPES`, from 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import flatbuffers
from flatbuffers.table import Table as Reader

from mltk.errors import FileFormatError
from mltk.tflite._verify import Scalar, Schema, String, Strings, Tables, Union, Vector, verify

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class _Type:
    """Storage of one type of value."""

    name: str
    layout: Literal["scalar", "string", "strings", "vector", "bytes"]
    format: str = ""
    """`struct` format of the number, or of one element."""


_TYPES = (
    _Type("bool", "scalar", "?"),
    _Type("int8", "scalar", "b"),
    _Type("uint8", "scalar", "B"),
    _Type("int16", "scalar", "h"),
    _Type("uint16", "scalar", "H"),
    _Type("int32", "scalar", "i"),
    _Type("uint32", "scalar", "I"),
    _Type("int64", "scalar", "q"),
    _Type("uint64", "scalar", "Q"),
    _Type("float", "scalar", "f"),
    _Type("double", "scalar", "d"),
    _Type("str", "string"),
    _Type("str_list", "strings"),
    _Type("int32_list", "vector", "i"),
    _Type("float_list", "vector", "f"),
    _Type("bin", "bytes", "B"),
)
_CODES = {kind.name: code for code, kind in enumerate(_TYPES, start=1)}

DTYPES: tuple[str, ...] = tuple(_CODES)
"""The types that a parameter may have, by the names that `TfliteModelParameters.put` takes."""


def _field(kind: _Type) -> Scalar | String | Strings | Vector:
    if kind.layout == "string":
        return String()
    if kind.layout == "strings":
        return Strings()
    width = struct.calcsize("<" + kind.format)
    return Scalar(width) if kind.layout == "scalar" else Vector(width)


_SCHEMA: Schema = {
    "Dictionary": {0: Scalar(1), 1: Tables("Entry")},
    "Entry": {0: String(), 1: Scalar(1), 2: Union(1, {code: name for name, code in _CODES.items()})},
    **{kind.name: {0: _field(kind)} for kind in _TYPES},
}


def pack(entries: Iterable[tuple[str, str, Any]]) -> bytes:
    """Return the flatbuffer of entries `(key, dtype, value)`; values must fit their dtype.

    Objects are written in the order that other writers of this format use, so that equal dictionaries are
    equal bytes.
    """
    builder = flatbuffers.Builder(256)
    offsets = [_pack_entry(builder, key, dtype, value) for key, dtype, value in entries]
    vector = _pack_offsets(builder, offsets)
    builder.StartObject(2)
    builder.PrependUint8Slot(0, SCHEMA_VERSION, 0)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _pack_entry(builder: Any, key: str, dtype: str, value: Any) -> int:
    key_offset = builder.CreateString(key)
    value_offset = _pack_value(builder, _TYPES[_CODES[dtype] - 1], value)
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, key_offset, 0)
    builder.PrependUOffsetTRelativeSlot(2, value_offset, 0)
    builder.PrependUint8Slot(1, _CODES[dtype], 0)
    return int(builder.EndObject())


def _pack_value(builder: Any, kind: _Type, value: Any) -> int:
    if kind.layout == "scalar":
        prepend = {
            "?": builder.PrependBoolSlot,
            "b": builder.PrependInt8Slot,
            "B": builder.PrependUint8Slot,
            "h": builder.PrependInt16Slot,
            "H": builder.PrependUint16Slot,
            "i": builder.PrependInt32Slot,
            "I": builder.PrependUint32Slot,
            "q": builder.PrependInt64Slot,
            "Q": builder.PrependUint64Slot,
            "f": builder.PrependFloat32Slot,
            "d": builder.PrependFloat64Slot,
        }[kind.format]
        builder.StartObject(1)
        prepend(0, value, 0)
        return int(builder.EndObject())
    if kind.layout == "string":
        data = builder.CreateString(value)
    elif kind.layout == "strings":
        data = _pack_offsets(builder, [builder.CreateString(text) for text in value])
    elif kind.layout == "bytes":
        data = builder.CreateByteVector(value)
    else:
        prepend = builder.PrependInt32 if kind.format == "i" else builder.PrependFloat32
        builder.StartVector(4, len(value), 4)
        for element in reversed(value):
            prepend(element)
        data = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, data, 0)
    return int(builder.EndObject())


def _pack_offsets(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def unpack(data: bytes, source: str) -> list[tuple[str, str, Any]]:
    """Return the entries `(key, dtype, value)` of a dictionary flatbuffer, in its order.

    Args:
        data: The flatbuffer.
        source: What it is, for error messages.

    Raises:
        FileFormatError: The data are damaged, or of a newer version than is known.
    """
    data = bytes(data)
    verify(data, _SCHEMA, "Dictionary", source)
    root = Reader(data, struct.unpack_from("<I", data)[0])
    version_at = _at(root, 0)
    version = data[version_at] if version_at else 0
    if version != SCHEMA_VERSION:
        raise FileFormatError(
            f"{source} have version {version} of the parameter format; version {SCHEMA_VERSION} is known."
            " A newer mltk may read them."
        )
    entries_at = _at(root, 1)
    if not entries_at:
        return []
    return [
        _unpack_entry(data, Reader(data, position), source)
        for position in _targets(data, _follow(data, entries_at))
    ]


def _unpack_entry(data: bytes, entry: Any, source: str) -> tuple[str, str, Any]:
    key_at, code_at, value_at = (_at(entry, slot) for slot in range(3))
    if not key_at:
        raise FileFormatError(f"{source} are damaged: an entry has no name.")
    key = _text(data, _follow(data, key_at), source)
    code = data[code_at] if code_at else 0
    if not 1 <= code <= len(_TYPES) or not value_at:
        raise FileFormatError(f"{source} are damaged: the value of '{key}' is of the unknown type {code}.")
    kind = _TYPES[code - 1]
    content_at = _at(Reader(data, _follow(data, value_at)), 0)
    return key, kind.name, _unpack_value(data, content_at, kind, source)


def _unpack_value(data: bytes, place: int, kind: _Type, source: str) -> Any:
    """Return the value whose slot is at `place`, or the type's default for 0: defaults are not stored."""
    if kind.layout == "scalar":
        size = struct.calcsize("<" + kind.format)
        return struct.unpack("<" + kind.format, data[place : place + size] if place else bytes(size))[0]
    target = _follow(data, place) if place else 0
    if kind.layout == "string":
        return _text(data, target, source) if place else ""
    if kind.layout == "strings":
        return [_text(data, position, source) for position in _targets(data, target)] if place else []
    length = struct.unpack_from("<I", data, target)[0] if place else 0
    if kind.layout == "bytes":
        return data[target + 4 : target + 4 + length]
    return list(struct.unpack_from(f"<{length}{kind.format}", data, target + 4))


def _at(table: Any, slot: int) -> int:
    """Return the position of a field, or 0 if the table does not have it."""
    offset = table.Offset(4 + 2 * slot)
    return int(table.Pos + offset) if offset else 0


def _follow(data: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


def _targets(data: bytes, vector: int) -> list[int]:
    length = struct.unpack_from("<I", data, vector)[0]
    return [_follow(data, vector + 4 + 4 * i) for i in range(length)]


def _text(data: bytes, place: int, source: str) -> str:
    length = struct.unpack_from("<I", data, place)[0]
    try:
        return data[place + 4 : place + 4 + length].decode()
    except UnicodeDecodeError:
        raise FileFormatError(f"{source} are damaged: the text at byte {place} is not UTF-8.") from None
