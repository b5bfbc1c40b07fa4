"""Read recordings from files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from mltk.data import FileReport, Finding
from mltk.errors import DatasetError
from mltk_plugin_audio._signal import to_float
from mltk_plugin_audio._wav import find_wav_data

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FILE_FORMATS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf")
"""File name endings of the recordings in the folder of a data set."""

MAX_SAMPLES = 200_000_000
"""Maximum length of a recording: 69 minutes at 48 kHz or 3.4 hours at 16 kHz; 800 MB as float32."""

_BLOCK = 1 << 20
_SMALL_INTEGERS = ("PCM_16", "PCM_S8", "PCM_U8")
_LARGEST_PEAK = 16.0
"""Real numbers beyond this are not a loud recording (24 dB above full scale), but have another scale."""
_LOUD_PEAK = 1.1

SILENT = Finding("Recordings that are silent", "Remove them, or repair their source.")
SILENT_FIRST_CHANNEL = Finding(
    "Recordings whose first channel is silent, but not another one",
    "The first channel is used. Set channel of the data generator to another one, counted from 0, or to 'mean'.",
)
TOO_LOUD = Finding(
    "Recordings of real numbers beyond -1 to 1, which are clipped there",
    "Lower their level, or set float_scale of the data generator to their full scale.",
)


@dataclass(frozen=True)
class ReadingRules:
    """How to read recordings that can be read in more than one way; see the settings of the generator."""

    channel: int | str | None = None
    """Number from 0, or `mean`; `None`: the first, and report it if it alone is silent."""
    float_scale: float = 1.0
    """Full scale of real numbers."""


DEFAULT_RULES = ReadingRules()


class _SeekableFile(io.BufferedReader):
    """A file for libsndfile.

    It ignores a seek to an invalid position, as damaged headers ask for: libsndfile then refuses the file. An exception
    here would be printed with its traceback, because C code calls `seek`. A length of 0 that means an unknown one is
    replaced by one that libsndfile knows to be unknown.
    """

    unknown_length_at: int | None = None
    """Position of the four bytes of such a length."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        start = self.tell()
        count = super().readinto(buffer)
        if self.unknown_length_at is not None:
            first = max(self.unknown_length_at - start, 0)
            last = min(self.unknown_length_at + 4 - start, count)
            if first < last:
                memoryview(buffer).cast("B")[first:last] = b"\xff" * (last - first)
        return count

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
            wav = find_wav_data(file, name)
            if wav is not None and wav.announced == 0 and wav.size:
                file.unknown_length_at = wav.start - 4
            file.seek(0)
            with soundfile.SoundFile(file) as sound:
                yield sound
    except OSError as e:
        raise DatasetError(f"The recording '{name}' cannot be read: {e.strerror or e}.") from e
    except (soundfile.SoundFileError, RuntimeError) as e:
        reason = str(getattr(e, "error_string", e)).rstrip(".")
        raise DatasetError(f"The recording '{name}' cannot be read: {reason}.") from e


def read_recording(
    path: str | os.PathLike[str],
    rules: ReadingRules = DEFAULT_RULES,
    report: FileReport | None = None,
    name: str | None = None,
) -> tuple[np.ndarray, int]:
    """Read one channel of a recording, whatever its file name ending.

    Args:
        path: The file.
        rules: How to read what is ambiguous.
        report: Receives what is unusual; `None` logs it as a warning.
        name: Name of the file in the report; `None` means the path.

    Returns:
        `(samples, rate)`: at least one sample; int16 `(n,)` for files of up to 16 bits, else float32 from -1 to 1.

    Raises:
        DatasetError: The file is missing, damaged, truncated, empty, too long or not a recording, or it contains NaN
            or infinity, or real numbers of another scale.
    """
    file = os.fspath(path)
    own = FileReport(1, file) if report is None else report
    samples, rate, others_sound = _read_wav(file, rules) or _read_any(file, rules)
    if samples.dtype.kind == "f":
        samples = _check_scale(file, samples, rules, own, name or file)
    # Comparing the first sample with the middle spares most recordings the rest of the comparison.
    if samples[0] == samples[len(samples) // 2] and (samples == samples[0]).all():
        own.add(SILENT_FIRST_CHANNEL if others_sound and rules.channel is None else SILENT, name or file)
    if report is None:
        own.close()
    return samples, rate


def _read_wav(path: str, rules: ReadingRules) -> tuple[np.ndarray, int, bool] | None:
    """Read a WAV file of plain samples; `None` for another file.

    Returns:
        The samples, their rate, and whether another channel is not silent.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (pathlib is too slow here)
            wav = find_wav_data(file, path)
            if wav is None or wav.dtype is None:
                return None
            _check_frames(path, wav.frames)
            size = max(_BLOCK // wav.channels, 1)
            samples, others_sound = _select_channel(path, wav.read_blocks(file, size), rules)
    except OSError as e:
        raise DatasetError(f"The recording '{path}' cannot be read: {e.strerror or e}.") from e
    check_length(path, len(samples), wav.frames, "WAV")
    return samples, wav.rate, others_sound


def _read_any(path: str, rules: ReadingRules) -> tuple[np.ndarray, int, bool]:
    """Read a recording with libsndfile; see `_read_wav`."""
    with open_sound_file(path) as sound:
        dtype = "int16" if sound.subtype in _SMALL_INTEGERS else "float32"
        announced = sound.frames
        _check_frames(path, announced)
        size = max(_BLOCK // sound.channels, 1)

        def read_blocks() -> Iterator[np.ndarray]:
            # A damaged header may announce far more samples than the file has.
            while True:
                block = sound.read(size, dtype=dtype, always_2d=True)
                yield block
                if len(block) < size:
                    return

        samples, others_sound = _select_channel(path, read_blocks(), rules)
        check_length(path, len(samples), announced, sound.format)
        return samples, int(sound.samplerate), others_sound


def _select_channel(path: str, blocks: Iterable[np.ndarray], rules: ReadingRules) -> tuple[np.ndarray, bool]:
    """Return one channel of `(n, channels)` blocks, and whether another one is not silent."""
    parts: list[np.ndarray] = []
    others_sound = False
    channel = rules.channel
    for block in blocks:
        channels = block.shape[1]
        if channel == "mean" and channels > 1:
            with np.errstate(invalid="ignore", over="ignore"):  # Infinity is refused later.
                parts.append(to_float(block).mean(axis=1))
            continue
        number = channel if isinstance(channel, int) and channels > 1 else 0
        if number >= channels:
            raise DatasetError(
                f"The recording '{path}' has {channels} channels, so there is no channel {number} (counted from 0)."
            )
        parts.append(np.ascontiguousarray(block[:, number]))
        others_sound = others_sound or (channels > 1 and bool((block != block[:1]).any()))
    if not parts:
        return np.zeros(0, np.int16), False
    return parts[0] if len(parts) == 1 else np.concatenate(parts), others_sound


def _check_frames(path: str, frames: int) -> None:
    if frames > MAX_SAMPLES:
        raise DatasetError(
            f"The recording '{path}' has {frames:,} samples; the maximum is {MAX_SAMPLES:,}. Cut it into pieces."
        )


def _check_scale(
    path: str, samples: np.ndarray, rules: ReadingRules, report: FileReport, name: str
) -> np.ndarray:
    """Bring real numbers to the scale -1 to 1.

    Raises:
        DatasetError: They are not finite, or have another scale.
    """
    peak = max(float(samples.max()), -float(samples.min())) / rules.float_scale
    if not np.isfinite(peak):
        check_finite(path, samples)
    if peak > _LARGEST_PEAK:
        raise DatasetError(
            f"The recording '{path}' holds real numbers up to {peak * rules.float_scale:,.0f}, but full scale is "
            f"{rules.float_scale:g}. Scale it to -1 to 1, or set float_scale of the data generator to the full scale "
            f"of all such files: 32768 if they were integers of 16 bits."
        )
    if peak > _LOUD_PEAK:
        report.add(TOO_LOUD, name)
    return samples if rules.float_scale == 1 else samples / np.float32(rules.float_scale)


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
