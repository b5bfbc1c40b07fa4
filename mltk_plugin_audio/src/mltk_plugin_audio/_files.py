"""Read, resample and trim recordings."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from mltk.errors import DatasetError

if TYPE_CHECKING:
    from soundfile import SoundFile

FILE_FORMATS = (".wav", ".flac", ".ogg", ".mp3")
"""Endings of the files that count as recordings in a data set's folder."""

MAX_SAMPLES = 200_000_000
"""Longer recordings are refused: 69 minutes at 48 kHz, 3.4 hours at 16 kHz; as float32 they take 800 MB."""

_BLOCK = 1 << 20
_SMALL_INTEGERS = ("PCM_16", "PCM_S8", "PCM_U8")
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_TRIM_WINDOW_SECONDS = 0.025


class _Recording(io.BufferedReader):
    """A file that stays where it is when it is to go where a damaged header leads, before its start for instance.

    libsndfile then refuses it; an error would be printed, with a traceback, by what calls Python from C.
    """

    def seek(self, target: int, whence: int = 0, /) -> int:
        try:
            return super().seek(target, whence)
        except (OSError, OverflowError, ValueError):
            return self.tell()


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[SoundFile]:
    """Open a recording, whatever the ending of its name; what goes wrong in the block, too, is told with that name.

    Raises:
        DatasetError: The file is missing, damaged, truncated or of another kind.
    """
    import soundfile

    name = os.fspath(path)
    try:
        with _Recording(io.FileIO(name)) as file:
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
    """Read the first channel of a recording, whatever the ending of its name.

    Returns:
        `(samples, rate)`: `(n,)`, int16 for files of up to 16 bits, else float32 from -1 to 1; n is at
        least 1.

    Raises:
        DatasetError: The file is missing, damaged, truncated, empty or of another kind, or it holds numbers
            that are not finite.
    """
    with opened(path) as sound:
        dtype = "int16" if sound.subtype in _SMALL_INTEGERS else "float32"
        announced = sound.frames
        if announced > MAX_SAMPLES:
            raise DatasetError(
                f"The recording '{os.fspath(path)}' has {announced:,} samples, more than the {MAX_SAMPLES:,} that are "
                f"read at once. Cut it into pieces."
            )
        # As many as there are: a damaged file may announce far more. Of several channels, one is kept in memory.
        size = max(_BLOCK // sound.channels, 1)
        parts: list[np.ndarray] = []
        while not parts or len(parts[-1]) == size:
            parts.append(np.ascontiguousarray(sound.read(size, dtype=dtype, always_2d=True)[:, 0]))
        samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
        check_length(path, len(samples), announced, sound.format)
        check_finite(path, samples)
        return np.ascontiguousarray(samples), int(sound.samplerate)


def check_length(path: str | os.PathLike[str], read: int, announced: int, file_format: str) -> None:
    """Refuse a recording that is empty, or shorter than it says.

    Args:
        path: The file.
        read: Samples that were read.
        announced: Samples that there are, by its header.
        file_format: libsndfile's name of its format.
    """
    if not read:
        raise DatasetError(f"The recording '{os.fspath(path)}' has no samples.")
    # MP3 does not say how long it is; what libsndfile announces is an estimate.
    if read < announced and file_format != "MP3":
        raise DatasetError(
            f"The recording '{os.fspath(path)}' is truncated: it has {read:,} of {announced:,} samples."
        )


def check_finite(path: str | os.PathLike[str], samples: np.ndarray) -> None:
    """Refuse samples that are NaN or infinite."""
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise DatasetError(
            f"The recording '{os.fspath(path)}' holds values that are not numbers (NaN or infinite)."
        )


def as_float(samples: np.ndarray) -> np.ndarray:
    """Return float32 samples from -1 to 1; integers are divided by their type's full scale."""
    if samples.dtype.kind == "i":
        scale = np.float32(-1 / float(np.iinfo(samples.dtype).min))
        return np.asarray(np.multiply(samples, scale, dtype=np.float32))
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    return np.asarray(samples, np.float32)


def resampled(samples: np.ndarray, rate: float, target_rate: float) -> np.ndarray:
    """Return float32 `(n,)` samples at another rate, band-limited; holds no GIL."""
    if rate == target_rate or not len(samples):
        return samples
    import soxr

    result: np.ndarray = soxr.resample(samples, rate, target_rate, quality="HQ")
    return result


def speech_bounds(samples: np.ndarray, rate: float, threshold_db: float) -> tuple[int, int]:
    """Return where a recording begins and ends when silence is trimmed from both ends.

    Silent is what is more than `threshold_db` below the loudest 25 ms. A recording of zeros is kept.

    Raises:
        DatasetError: The threshold is negative: nothing is louder than the loudest.
    """
    from mltk_plugin_audio._clips import loud_span

    if threshold_db < 0:
        # The compiled loop would look for it beyond the end.
        raise DatasetError(f"The threshold to trim silence with must be 0 dB or more, not {threshold_db}.")
    if not len(samples):
        return 0, 0
    step = max(1, round(rate * _TRIM_WINDOW_SECONDS / 4))
    start, stop = loud_span(np.ascontiguousarray(samples, np.float32), step, 10 ** (-threshold_db / 10))
    return int(start), int(stop)


def _check_complete(file: BinaryIO, name: str) -> None:
    """Refuse a WAV file that is shorter than it says: libsndfile reads what there is of it without a word."""
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
            # A program that writes to a pipe cannot know the length.
            if length not in _UNKNOWN_SIZES and position + length > size:
                raise DatasetError(
                    f"The recording '{name}' is truncated: it has {size - position:,} of {length:,} bytes."
                )
            return
        position += length + length % 2
    raise DatasetError(f"The recording '{name}' is truncated: it has no samples.")


def fitted(samples: np.ndarray, length: int, offset: float, out: np.ndarray) -> tuple[int, int]:
    """Pad or crop a recording to `length`, at the fraction `offset` of the slack.

    Args:
        samples: `(n,)`.
        length: Wanted number of samples.
        offset: 0: at the start, 1: at the end.
        out: `(length,)` zeros that are written to.

    Returns:
        Where the recording begins and ends in `out`.
    """
    slack = length - len(samples)
    position = round(abs(slack) * offset)
    if slack >= 0:
        out[position : position + len(samples)] = samples
        return position, position + len(samples)
    out[:] = samples[position : position + length]
    return 0, length


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor of TensorFlow, without importing it."""
    return (hasattr(value, "dtype") and hasattr(value, "graph")) or hasattr(value, "numpy")
