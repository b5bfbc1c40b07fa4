"""Verification of flatbuffers from untrusted files.

The Python reader of flatbuffers and the native interpreter trust every offset. `verify` checks a buffer
against a schema, so that later reads stay inside the buffer and take time in proportion to its size.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from mltk.errors import FileFormatError


@dataclass(frozen=True)
class Scalar:
    """A number inside the table."""

    width: int
    """Bytes."""


@dataclass(frozen=True)
class Vector:
    """A vector of numbers."""

    width: int
    """Bytes of one element."""


@dataclass(frozen=True)
class String:
    """A zero-terminated string."""


@dataclass(frozen=True)
class Strings:
    """A vector of strings."""


@dataclass(frozen=True)
class Table:
    """Another table."""

    name: str


@dataclass(frozen=True)
class Tables:
    """A vector of tables."""

    name: str


@dataclass(frozen=True)
class Union:
    """A table whose type code is in another slot."""

    type_slot: int
    members: Mapping[int, str]
    """Table name of each type code; other codes are tables of numbers."""


Field = Scalar | Vector | String | Strings | Table | Tables | Union
Schema = Mapping[str, Mapping[int, Field]]
"""Table name → slot → field. Slots that are not listed hold numbers, which must begin inside the table."""

_MAX_TABLES = 1_000_000
# Writers may share equal vtables and strings; more sharing than this is an attack on the reader.
_MAX_SHARING = 16

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")


def verify(data: bytes, schema: Schema, root: str, source: str, identifier: bytes = b"") -> None:
    """Check that `data` is a flatbuffer of `schema` and that all its parts are inside it.

    Alignment is not checked; readers on hosts do not need it.

    Args:
        data: The buffer.
        schema: Tables of the format.
        root: Name of the root table.
        source: Description of the buffer; begins the error message.
        identifier: The four bytes after the root offset, if the format has them.

    Raises:
        FileFormatError: A part is outside the buffer, or the buffer has another format.
    """
    if identifier and data[4:8] != identifier:
        found = f"it has {data[4:8]!r}" if len(data) >= 8 else f"it is only {len(data)} bytes long"
        raise FileFormatError(
            f"{source} has the wrong format: expected '{identifier.decode()}' at byte 4; {found}."
        )
    _Walk(data, schema, source).run(root)


class _Walk:
    """One pass over a buffer."""

    def __init__(self, data: bytes, schema: Schema, source: str) -> None:
        self._data = data
        self._size = len(data)
        self._schema = schema
        self._source = source
        self._budget = _MAX_SHARING * self._size
        self._tables = 0
        self._pending: list[tuple[str, int]] = []
        """Tables to check: name and position."""

    def run(self, root: str) -> None:
        self._require(0, 4, "its root")
        self._push(root, 0)
        while self._pending:
            self._check_table(*self._pending.pop())

    def _make_error(self, detail: str, position: int) -> FileFormatError:
        return FileFormatError(f"{self._source} is damaged: {detail} (at byte {position}).")

    def _require(self, position: int, size: int, what: str) -> None:
        if position < 0 or position + size > self._size:
            raise self._make_error(f"{what} is outside the {self._size} bytes of data", position)

    def _spend(self, size: int, position: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise self._make_error("its parts overlap", position)

    def _read_u16(self, position: int) -> int:
        return int(_U16.unpack_from(self._data, position)[0])

    def _read_u32(self, position: int) -> int:
        return int(_U32.unpack_from(self._data, position)[0])

    def _follow(self, position: int) -> int:
        return position + self._read_u32(position)

    def _check_table(self, name: str, position: int) -> None:
        self._require(position, 4, f"a table '{name}'")
        vtable = position - int(_I32.unpack_from(self._data, position)[0])
        self._require(vtable, 4, f"the layout of a table '{name}'")
        vtable_size = self._read_u16(vtable)
        table_size = self._read_u16(vtable + 2)
        if vtable_size < 4 or vtable_size % 2 or table_size < 4:
            raise self._make_error(f"the layout of a table '{name}' is invalid", vtable)
        self._require(vtable, vtable_size, f"the layout of a table '{name}'")
        self._require(position, table_size, f"a table '{name}'")
        self._spend(table_size, position)

        fields = self._schema.get(name, {})
        offsets = struct.unpack_from(f"<{(vtable_size - 4) // 2}H", self._data, vtable + 4)
        for slot, offset in enumerate(offsets):
            if not offset:
                continue
            field = fields.get(slot)
            width = 1 if field is None else field.width if isinstance(field, Scalar) else 4
            if offset < 4 or offset + width > table_size:
                raise self._make_error(f"field {slot} of a table '{name}' is outside the table", position)
            place = position + offset
            if field is None or isinstance(field, Scalar):
                continue
            if isinstance(field, Union):
                type_offset = offsets[field.type_slot] if field.type_slot < len(offsets) else 0
                code = self._data[position + type_offset] if type_offset else 0
                if code:
                    self._push(field.members.get(code, "options"), place)
            else:
                self._check_reference(field, place)

    def _check_reference(self, field: Vector | String | Strings | Table | Tables, place: int) -> None:
        target = self._follow(place)
        if isinstance(field, Table):
            self._push(field.name, place)
        elif isinstance(field, String):
            self._check_string(target)
        elif isinstance(field, Vector):
            self._check_vector(target, field.width)
        else:
            for element in range(target + 4, target + 4 + 4 * self._check_vector(target, 4), 4):
                if isinstance(field, Strings):
                    self._check_string(self._follow(element))
                else:
                    self._push(field.name, element)

    def _push(self, name: str, place: int) -> None:
        self._tables += 1
        if self._tables > _MAX_TABLES:
            raise self._make_error(f"it has more than {_MAX_TABLES} parts", place)
        self._pending.append((name, self._follow(place)))

    def _check_vector(self, position: int, width: int) -> int:
        self._require(position, 4, "a list")
        length = self._read_u32(position)
        self._require(position, 4 + length * width, f"a list of {length} elements")
        self._spend(4 + length * width, position)
        return length

    def _check_string(self, position: int) -> None:
        end = position + 4 + self._check_vector(position, 1)
        self._require(end, 1, "the end of a string")
        if self._data[end]:
            raise self._make_error("a string does not end in a zero byte", end)
