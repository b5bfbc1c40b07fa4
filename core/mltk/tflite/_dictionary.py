"""The dictionary flatbuffer that holds model parameters in a `.tflite` file.

Table `Dictionary`: slot 0 `schema_version` (uint8, 1), slot 1 `entries`, a vector of `Entry`. Table `Entry`:
slot 0 `key`, slot 1 the type code, slot 2 the value, a table with one slot. Type codes are positions in
`_TYPES`, from 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

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
"""Parameter types, by their names for `TfliteModelParameters.put`."""


def _make_field(kind: _Type) -> Scalar | String | Strings | Vector:
    if kind.layout == "string":
        return String()
    if kind.layout == "strings":
        return Strings()
    width = struct.calcsize("<" + kind.format)
    return Scalar(width) if kind.layout == "scalar" else Vector(width)


_SCHEMA: Schema = {
    "Dictionary": {0: Scalar(1), 1: Tables("Entry")},
    "Entry": {0: String(), 1: Scalar(1), 2: Union(1, {code: name for name, code in _CODES.items()})},
    **{kind.name: {0: _make_field(kind)} for kind in _TYPES},
}


def pack(entries: Iterable[tuple[str, str, object]]) -> bytes:
    """Return the flatbuffer of entries `(key, dtype, value)`; each value must match its dtype.

    Objects are in the order of other writers of this format, so that equal dictionaries are equal bytes.
    """
    builder = flatbuffers.Builder(256)
    offsets = [_pack_entry(builder, key, dtype, value) for key, dtype, value in entries]
    vector = _pack_offsets(builder, offsets)
    builder.StartObject(2)
    builder.PrependUint8Slot(0, SCHEMA_VERSION, 0)
    builder.PrependUOffsetTRelativeSlot(1, vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def _pack_entry(builder: flatbuffers.Builder, key: str, dtype: str, value: object) -> int:
    key_offset = builder.CreateString(key)
    value_offset = _pack_value(builder, _TYPES[_CODES[dtype] - 1], value)
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(0, key_offset, 0)
    builder.PrependUOffsetTRelativeSlot(2, value_offset, 0)
    builder.PrependUint8Slot(1, _CODES[dtype], 0)
    return int(builder.EndObject())


def _pack_value(builder: flatbuffers.Builder, kind: _Type, value: object) -> int:
    if isinstance(value, str):
        data = builder.CreateString(value)
    elif isinstance(value, bytes):
        data = builder.CreateByteVector(value)
    elif isinstance(value, list):
        data = _pack_list(builder, kind, value)
    else:
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
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, data, 0)
    return int(builder.EndObject())


def _pack_list(builder: flatbuffers.Builder, kind: _Type, values: Sequence[object]) -> int:
    if kind.layout == "strings":
        return _pack_offsets(builder, [builder.CreateString(text) for text in values])
    prepend = builder.PrependInt32 if kind.format == "i" else builder.PrependFloat32
    builder.StartVector(4, len(values), 4)
    for element in reversed(values):
        prepend(element)
    return int(builder.EndVector())


def _pack_offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def unpack(data: bytes, source: str) -> list[tuple[str, str, object]]:
    """Return the entries `(key, dtype, value)` of a dictionary flatbuffer, in file order.

    Args:
        data: The flatbuffer.
        source: Description of the data, a plural, for error messages.

    Raises:
        FileFormatError: The data are damaged, or their version is unknown.
    """
    data = bytes(data)
    verify(data, _SCHEMA, "Dictionary", source)
    root = Reader(data, struct.unpack_from("<I", data)[0])
    version_at = _find_field(root, 0)
    version = data[version_at] if version_at else 0
    if version != SCHEMA_VERSION:
        raise FileFormatError(
            f"{source} have version {version} of the parameter format, but only version {SCHEMA_VERSION} is supported."
            " Try a newer mltk."
        )
    entries_at = _find_field(root, 1)
    if not entries_at:
        return []
    return [
        _unpack_entry(data, Reader(data, position), source)
        for position in _follow_all(data, _follow(data, entries_at))
    ]


def _unpack_entry(data: bytes, entry: Reader, source: str) -> tuple[str, str, object]:
    key_at, code_at, value_at = (_find_field(entry, slot) for slot in range(3))
    if not key_at:
        raise FileFormatError(f"{source} are damaged: an entry has no name.")
    key = _read_text(data, _follow(data, key_at), source)
    code = data[code_at] if code_at else 0
    if not 1 <= code <= len(_TYPES) or not value_at:
        raise FileFormatError(f"{source} are damaged: the value of '{key}' has the unknown type {code}.")
    kind = _TYPES[code - 1]
    content_at = _find_field(Reader(data, _follow(data, value_at)), 0)
    return key, kind.name, _unpack_value(data, content_at, kind, source)


def _unpack_value(data: bytes, place: int, kind: _Type, source: str) -> object:
    """Return the value of the field at `place`; 0 means the default, which is not stored."""
    if kind.layout == "scalar":
        size = struct.calcsize("<" + kind.format)
        return struct.unpack("<" + kind.format, data[place : place + size] if place else bytes(size))[0]
    target = _follow(data, place) if place else 0
    if kind.layout == "string":
        return _read_text(data, target, source) if place else ""
    if kind.layout == "strings":
        return [_read_text(data, position, source) for position in _follow_all(data, target)] if place else []
    length = struct.unpack_from("<I", data, target)[0] if place else 0
    if kind.layout == "bytes":
        return data[target + 4 : target + 4 + length]
    return list(struct.unpack_from(f"<{length}{kind.format}", data, target + 4))


def _find_field(table: Reader, slot: int) -> int:
    """Return the position of a field, or 0 if it is absent."""
    offset = table.Offset(4 + 2 * slot)
    return int(table.Pos + offset) if offset else 0


def _follow(data: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


def _follow_all(data: bytes, vector: int) -> list[int]:
    length = struct.unpack_from("<I", data, vector)[0]
    return [_follow(data, vector + 4 + 4 * i) for i in range(length)]


def _read_text(data: bytes, place: int, source: str) -> str:
    length = struct.unpack_from("<I", data, place)[0]
    try:
        return data[place + 4 : place + 4 + length].decode()
    except UnicodeDecodeError:
        raise FileFormatError(f"{source} are damaged: the text at byte {place} is not UTF-8.") from None
