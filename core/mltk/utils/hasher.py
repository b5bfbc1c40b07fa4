"""Hashes of files and of Python values."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mltk.reference_names import late_names


class Hash(Protocol):
    """Interface of the objects of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the hash as hexadecimal text."""
        ...


def generate_hash(*objects: object) -> str:
    """Return a hash of Python values, the same in every run and on every machine.

    Text, bytes, numbers, `None`, paths, NumPy arrays, functions and classes (by their qualified names), and
    lists, tuples, sets and mappings of these. Lists and tuples hash alike; the order of a mapping does not
    matter.

    Returns:
        32 hexadecimal digits.

    Raises:
        TypeError: A value is of another type.
    """
    # Not md5: it is missing from interpreters built for FIPS.
    hasher = hashlib.blake2b(digest_size=16)
    _add(hasher, objects)
    return hasher.hexdigest()


def hash_file(path: str | os.PathLike[str], algorithm: str = "md5", include_filename: bool = False) -> str:
    """Return the hash of a file's content as lower-case hexadecimal digits.

    Args:
        path: The file.
        algorithm: A name that `hashlib` knows, e.g. `md5`, `sha1`, `sha256`.
        include_filename: Begin with the file's name, so that a renamed file has another hash.
    """

    def start() -> hashlib._Hash:
        name = Path(path).name.encode() if include_filename else b""
        return hashlib.new(algorithm, name, usedforsecurity=False)

    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, start).hexdigest()


def _add(hasher: Hash, value: object) -> None:
    # Type and length come first, so that ("ab",) and ("a", "b") differ, as do 1 and "1".
    match value:
        case None | bool() | int() | float() | complex():
            _add_bytes(hasher, type(value).__name__, repr(value).encode())
        case str():
            _add_bytes(hasher, "str", value.encode("utf-8", "surrogatepass"))
        case bytes() | bytearray():
            _add_bytes(hasher, "bytes", bytes(value))
        case os.PathLike():
            _add_bytes(hasher, "path", os.fsencode(value))
        case np.generic():
            _add(hasher, value.item())
        case np.ndarray() if not value.dtype.hasobject:
            _add_bytes(
                hasher,
                f"array{value.dtype.str}{value.shape}",
                np.ascontiguousarray(value).reshape(-1).view(np.uint8).data,
            )
        case Mapping():
            _add_unordered(hasher, "mapping", value.items())
        case set() | frozenset():
            _add_unordered(hasher, "set", value)
        case list() | tuple():
            _add_bytes(hasher, "list", str(len(value)).encode())
            for item in value:
                _add(hasher, item)
        case _ if hasattr(value, "__qualname__"):
            _add_bytes(hasher, "name", f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode())
        case _:
            raise TypeError(f"Cannot make a hash of a {type(value).__name__} that is the same in every run.")


def _add_bytes(hasher: Hash, kind: str, data: bytes | memoryview) -> None:
    hasher.update(f"{kind}:{len(data)}:".encode())
    hasher.update(data)


def _add_unordered(hasher: Hash, kind: str, items: Iterable[object]) -> None:
    _add_bytes(hasher, kind, "".join(sorted(generate_hash(item) for item in items)).encode())


if not TYPE_CHECKING:
    __getattr__ = late_names(__name__)
