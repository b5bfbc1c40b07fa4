"""Check a flatbuffer before anything is read from it.

The generic Python reader of flatbuffers trusts every offset it meets, and the native interpreter does too.
`verify` walks a buffer along a schema once, so that what reads it afterwards stays inside the buffer and its
work stays in proportion to the buffer's size.
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
    """A string, which ends in a zero byte."""


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
    """A table whose kind is in another slot."""

    type_slot: int
    members: Mapping[int, str]
    """Table of each type code; a code that is not here is a table of numbers only."""


Field = Scalar | Vector | String | Strings | Table | Tables | Union
Schema = Mapping[str, Mapping[int, Field]]
"""Table → slot → what the slot holds. What is left out holds numbers, which must begin inside their
table."""

_MAX_TABLES = 1_000_000
# Writers may share what is equal (vtables, strings); a buffer that refers to the same bytes again and again
# is made to exhaust its reader.
_MAX_SHARING = 16

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")


def verify(data: bytes, schema: Schema, root: str, source: str, identifier: bytes = b"") -> None:
    """Check that `data` is a flatbuffer of `schema` all of whose parts lie inside it.

    Alignment is not checked: readers on the machines that mltk runs on do not need it.

    Args:
        data: The whole buffer.
        schema: The tables.
        root: Name of the root table.
        source: What the buffer is, with its name or place; begins the error message.
        identifier: The four bytes after the root offset, where the format has them.

    Raises:
        FileFormatError: Something is outside the buffer, or the buffer is of another kind.
    """
    if identifier and data[4:8] != identifier:
        found = f"it has {data[4:8]!r}" if len(data) >= 8 else f"it is only {len(data)} bytes long"
        raise FileFormatError(
            f"{source} is not of the right format: it should have the mark '{identifier.decode()}' at byte 4;"
            f" {found}."
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
        """Tables found and not yet looked at: name, position."""

    def run(self, root: str) -> None:
        self._need(0, 4, "its root")
        self._push(root, 0)
        while self._pending:
            self._table(*self._pending.pop())

    def _fail(self, detail: str, position: int) -> FileFormatError:
        return FileFormatError(f"{self._source} is damaged: {detail} (at byte {position}).")

    def _need(self, position: int, size: int, what: str) -> None:
        if position < 0 or position + size > self._size:
            raise self._fail(f"{what} would lie outside its {self._size} bytes", position)

    def _spend(self, size: int, position: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise self._fail("its parts overlap", position)

    def _u16(self, position: int) -> int:
        return int(_U16.unpack_from(self._data, position)[0])

    def _u32(self, position: int) -> int:
        return int(_U32.unpack_from(self._data, position)[0])

    def _follow(self, position: int) -> int:
        return position + self._u32(position)

    def _table(self, name: str, position: int) -> None:
        self._need(position, 4, f"a table '{name}'")
        vtable = position - int(_I32.unpack_from(self._data, position)[0])
        self._need(vtable, 4, f"the layout of a table '{name}'")
        vtable_size = self._u16(vtable)
        table_size = self._u16(vtable + 2)
        if vtable_size < 4 or vtable_size % 2 or table_size < 4:
            raise self._fail(f"the layout of a table '{name}' is impossible", vtable)
        self._need(vtable, vtable_size, f"the layout of a table '{name}'")
        self._need(position, table_size, f"a table '{name}'")
        self._spend(table_size, position)

        fields = self._schema.get(name, {})
        offsets = struct.unpack_from(f"<{(vtable_size - 4) // 2}H", self._data, vtable + 4)
        for slot, offset in enumerate(offsets):
            if not offset:
                continue
            field = fields.get(slot)
            width = 1 if field is None else field.width if isinstance(field, Scalar) else 4
            if offset < 4 or offset + width > table_size:
                raise self._fail(f"field {slot} of a table '{name}' would lie outside it", position)
            place = position + offset
            if field is None or isinstance(field, Scalar):
                continue
            if isinstance(field, Union):
                type_offset = offsets[field.type_slot] if field.type_slot < len(offsets) else 0
                code = self._data[position + type_offset] if type_offset else 0
                if code:
                    self._push(field.members.get(code, "options"), place)
            else:
                self._reference(field, place)

    def _reference(self, field: Vector | String | Strings | Table | Tables, place: int) -> None:
        target = self._follow(place)
        if isinstance(field, Table):
            self._push(field.name, place)
        elif isinstance(field, String):
            self._string(target)
        elif isinstance(field, Vector):
            self._vector(target, field.width)
        else:
            for element in range(target + 4, target + 4 + 4 * self._vector(target, 4), 4):
                if isinstance(field, Strings):
                    self._string(self._follow(element))
                else:
                    self._push(field.name, element)

    def _push(self, name: str, place: int) -> None:
        self._tables += 1
        if self._tables > _MAX_TABLES:
            raise self._fail(f"it has more than {_MAX_TABLES} parts", place)
        self._pending.append((name, self._follow(place)))

    def _vector(self, position: int, width: int) -> int:
        self._need(position, 4, "a list")
        length = self._u32(position)
        self._need(position, 4 + length * width, f"a list of {length} elements")
        self._spend(4 + length * width, position)
        return length

    def _string(self, position: int) -> None:
        end = position + 4 + self._vector(position, 1)
        self._need(end, 1, "the end of a text")
        if self._data[end]:
            raise self._fail("a text does not end", end)
