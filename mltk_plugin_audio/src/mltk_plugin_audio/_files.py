"""Read recordings from files."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soundfile

from mltk.errors import DatasetError

FILE_FORMATS = (".wav", ".flac", ".ogg", ".mp3")
"""File name endings of the recordings in the folder of a data set."""

MAX_SAMPLES = 200_000_000
"""Maximum length of a recording: 69 minutes at 48 kHz or 3.4 hours at 16 kHz; 800 MB as float32."""

_BLOCK = 1 << 20
_SMALL_INTEGERS = ("PCM_16", "PCM_S8", "PCM_U8")
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)


class _SeekableFile(io.BufferedReader):
    """A file that ignores a seek to an invalid position, as damaged headers ask for.

    libsndfile then refuses the file. An exception here would be printed with its traceback, because C code calls
    `seek`.
    """

    def seek(self, target: int, whence: int = 0, /) -> int:
        try:
            return super().seek(target, whence)
        except (OSError, OverflowError, ValueError):
            return self.tell()


@contextmanager
def open_sound_file(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """Open a recording, whatever its file name ending; errors raised in the `with` block name the file, too.

    Raises:
        DatasetError: The file is missing, damaged, truncated or not a recording.
    """
    name = os.fspath(path)
    try:
        with _SeekableFile(io.FileIO(name)) as file:
            _check_complete(file, name)
            file.seek(0)
            with soundfile.SoundFile(file) as sound:
                yield sound
    except OSError as e:
        raise DatasetError(f"The recording '{name}' cannot be read: {e.strerror or e}.") from e
    except (soundfile.SoundFileError, RuntimeError) as e:
        reason = str(getattr(e, "error_string", e)).rstrip(".")
        raise DatasetError(f"The recording '{name}' cannot be read: {reason}.") from e


def read_recording(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Read the first channel of a recording, whatever its file name ending.

    Returns:
        `(samples, rate)`: at least one sample; int16 `(n,)` for files of up to 16 bits, else float32 from -1 to 1.

    Raises:
        DatasetError: The file is missing, damaged, truncated, empty, too long or not a recording, or it contains NaN
            or infinity.
    """
    with open_sound_file(path) as sound:
        dtype = "int16" if sound.subtype in _SMALL_INTEGERS else "float32"
        announced = sound.frames
        if announced > MAX_SAMPLES:
            raise DatasetError(
                f"The recording '{os.fspath(path)}' has {announced:,} samples; the maximum is {MAX_SAMPLES:,}. "
                f"Cut it into pieces."
            )
        # Read in blocks: a damaged header may announce far more samples than the file has.
        size = max(_BLOCK // sound.channels, 1)
        parts: list[np.ndarray] = []
        while not parts or len(parts[-1]) == size:
            parts.append(np.ascontiguousarray(sound.read(size, dtype=dtype, always_2d=True)[:, 0]))
        samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
        check_length(path, len(samples), announced, sound.format)
        check_finite(path, samples)
        return np.ascontiguousarray(samples), int(sound.samplerate)


def check_length(path: str | os.PathLike[str], read: int, announced: int, file_format: str) -> None:
    """Raise an error if a recording is empty or shorter than its header says.

    Args:
        path: Path of the file.
        read: Number of samples read.
        announced: Number of samples in the header.
        file_format: Name that libsndfile gives to the file format.
    """
    if not read:
        raise DatasetError(f"The recording '{os.fspath(path)}' has no samples.")
    # An MP3 file does not store its length; libsndfile estimates it.
    if read < announced and file_format != "MP3":
        raise DatasetError(
            f"The recording '{os.fspath(path)}' is truncated: it has {read:,} of {announced:,} samples."
        )


def check_finite(path: str | os.PathLike[str], samples: np.ndarray) -> None:
    """Raise an error if samples are NaN or infinite."""
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise DatasetError(f"The recording '{os.fspath(path)}' contains NaN or infinity.")


def _check_complete(file: BinaryIO, name: str) -> None:
    """Raise an error if a WAV file is shorter than its header says, which libsndfile does not report."""
    header = file.read(12)
    if len(header) < 12 or header[:4] not in (b"RIFF", b"RIFX") or header[8:] != b"WAVE":
        return
    order = "<" if header[:4] == b"RIFF" else ">"
    size = file.seek(0, os.SEEK_END)
    position = 12
    while position + 8 <= size:
        file.seek(position)
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        position += 8
        if kind == b"data":
            # A program that writes to a pipe does not know the length.
            if length not in _UNKNOWN_SIZES and position + length > size:
                raise DatasetError(
                    f"The recording '{name}' is truncated: it has {size - position:,} of {length:,} bytes."
                )
            return
        position += length + length % 2
    raise DatasetError(f"The recording '{name}' is truncated: it has no samples.")
