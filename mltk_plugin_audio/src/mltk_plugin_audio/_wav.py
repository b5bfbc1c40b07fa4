"""Find and decode the samples of WAV files.

libsndfile reads every kind, but opening a file takes it seven times as long, it does not report truncated files, and
it takes an unknown length of 0 for an empty file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from mltk.errors import DatasetError

_UNKNOWN_SIZE = 0x7FFF0000
"""Programs that write to a pipe announce this length or more: 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, …"""

_EXTENSIBLE = 0xFFFE

_TYPES = {(1, 8): "u1", (1, 16): "i2", (1, 24): "u1", (1, 32): "i4", (3, 32): "f4", (3, 64): "f8"}
"""Code of the format and number of bits to the type of NumPy; 24 bits are bytes."""


@dataclass(frozen=True)
class WavData:
    """The samples in a WAV file."""

    rate: int
    """Sample rate in Hz."""
    channels: int
    bits: int
    """Bits of a sample."""
    dtype: str | None
    """Type of NumPy, with byte order; `None` for compressed samples."""
    start: int
    """Position of the samples in the file."""
    size: int
    """Number of their bytes."""
    announced: int
    """The same in the header, which is not true if a program did not know the length when it wrote the header."""

    @property
    def frames(self) -> int:
        """Number of samples of each channel."""
        return self.size // (self.channels * self.bits // 8)

    def read_blocks(self, file: BinaryIO, frames: int) -> Iterator[np.ndarray]:
        """Yield blocks of at most `frames` samples of each channel: `(n, channels)`, int16 or float32 from -1 to 1."""
        assert self.dtype is not None
        width = self.channels * self.bits // 8
        file.seek(self.start)
        for first in range(0, self.frames, frames):
            content = file.read(min(frames, self.frames - first) * width)
            values = np.frombuffer(
                content, self.dtype, len(content) // width * width // np.dtype(self.dtype).itemsize
            )
            yield _decode(values, self.bits, self.dtype).reshape(-1, self.channels)


def find_wav_data(file: BinaryIO, name: str) -> WavData | None:
    """Return where the samples of a WAV file are; `None` for a file of another kind.

    Args:
        file: The file.
        name: Its path, for error messages.

    Raises:
        DatasetError: The file is shorter than its header says.
    """
    header = file.read(12)
    if len(header) < 12 or header[:4] not in (b"RIFF", b"RIFX") or header[8:] != b"WAVE":
        return None
    order = "<" if header[:4] == b"RIFF" else ">"
    (whole,) = struct.unpack_from(f"{order}I", header, 4)
    size = os.fstat(file.fileno()).st_size
    position, form = 12, b""
    while position + 8 <= size:
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        position += 8
        if kind == b"data":
            left = size - position
            # A program that was stopped leaves 0, and a RIFF chunk that ends here.
            stopped = length == 0 and (whole + 8 <= position or whole >= _UNKNOWN_SIZE)
            unknown = length >= _UNKNOWN_SIZE or stopped
            if length > left and not unknown:
                raise DatasetError(
                    f"The recording '{name}' is truncated: it has {left:,} of {length:,} bytes."
                )
            used = left if unknown and length not in range(1, left + 1) else length
            return _describe(form, order, position, used, length)
        if kind == b"fmt ":
            form = file.read(min(length, 64))
        position += length + length % 2
        file.seek(position)
    raise DatasetError(f"The recording '{name}' is truncated: it has no samples.")


def _describe(form: bytes, order: str, start: int, size: int, announced: int) -> WavData:
    """Describe samples by the chunk `fmt `."""
    if len(form) < 16:
        return WavData(0, 0, 0, None, start, size, announced)
    code, channels, rate, _, align, bits = struct.unpack_from(f"{order}HHIIHH", form)
    if code == _EXTENSIBLE and len(form) >= 26:
        (code,) = struct.unpack_from(f"{order}H", form, 24)
    dtype = _TYPES.get((code, bits))
    plain = dtype is not None and channels > 0 and rate > 0 and align == channels * bits // 8
    return WavData(rate, channels, bits, f"{order}{dtype}" if plain else None, start, size, announced)


def _decode(values: np.ndarray, bits: int, dtype: str) -> np.ndarray:
    """Return int16, or float32 from -1 to 1, as libsndfile does."""
    if bits == 8:
        return (values.astype(np.int16) - 128) << 8
    if bits == 24:
        wide = np.zeros((len(values) // 3, 4), np.uint8)
        low = dtype[0] == "<"
        wide[:, 1:] = values.reshape(-1, 3) if low else values.reshape(-1, 3)[:, ::-1]
        values = wide.view("<i4")[:, 0]
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # Infinity is refused later.
            return values.astype(np.float32)
    if bits == 16:
        return values.astype(np.int16, copy=False)
    return np.asarray(np.multiply(values, np.float32(2**-31), dtype=np.float32))
