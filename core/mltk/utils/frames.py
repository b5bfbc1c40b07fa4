"""Messages between the two processes: a JSON header and arrays as bytes.

Pickle is not used, so a process that a damaged model corrupts cannot execute code in the other process.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

_LENGTH = struct.Struct("<I")


def write_frame(stream: IO[bytes], header: Mapping[str, object], arrays: Sequence[np.ndarray] = ()) -> None:
    """Write one message.

    Args:
        stream: A pipe.
        header: JSON values.
        arrays: Numeric arrays of any shape.
    """
    text = json.dumps({**header, "arrays": [[a.dtype.str, a.shape] for a in arrays]}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for array in arrays:
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read the header and arrays of one message.

    Raises:
        EOFError: The other process has ended.
    """
    header = json.loads(_read(stream, _LENGTH.unpack(_read(stream, _LENGTH.size))[0]))
    arrays = []
    for code, shape in header.pop("arrays"):
        dtype = np.dtype(code)
        data = _read(stream, dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
        arrays.append(np.frombuffer(data, dtype).reshape(shape))
    return header, arrays


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data
