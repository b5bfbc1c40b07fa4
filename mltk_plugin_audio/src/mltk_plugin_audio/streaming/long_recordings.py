"""Long recordings that are read block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from mltk.errors import DatasetError
from mltk_plugin_audio._files import check_finite, check_length, open_sound_file
from mltk_plugin_audio.streaming.labels import Event, read_labels

BLOCK_SECONDS = 10

_LABEL_ENDINGS = (".txt", ".csv", ".tsv")
_MAX_BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class Recording:
    """A long recording with labels."""

    name: str
    events: tuple[Event, ...]
    """Events sorted by time, without the classes that the device does not report, such as `_unknown_`."""
    blocks: Callable[[], Iterator[np.ndarray]]
    """Function that reads the recording: float32 or int16 `(n,)` of any length, at the requested sample rate."""


def open_recording(
    path: str | os.PathLike[str],
    rate: int,
    classes: Sequence[str],
    labels: str | os.PathLike[str] | None = None,
) -> Recording:
    """Open a recording with its labels.

    Args:
        path: WAV, FLAC, OGG or MP3 file of any sample rate and length; the first channel is used.
        rate: Sample rate in Hz to convert to.
        classes: Class names.
        labels: Label file, see `read_labels`. By default the file of the same name that ends in `.txt`, `.csv` or
            `.tsv`; without such a file, each detection is a false accept.

    Raises:
        DatasetError: The file does not exist, or its labels cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"There is no recording {path}.")
    candidates = [path.with_suffix(ending) for ending in _LABEL_ENDINGS]
    file = Path(labels) if labels is not None else next((p for p in candidates if p.is_file()), None)
    events = read_labels(file, classes) if file is not None else ()
    return Recording(path.name, events, lambda: read_blocks(path, rate))


def read_blocks(path: str | os.PathLike[str], rate: int) -> Iterator[np.ndarray]:
    """Read the first channel of a recording block by block, resampled.

    Args:
        path: WAV, FLAC, OGG or MP3 file, whatever its file name ending.
        rate: Sample rate in Hz to convert to.

    Yields:
        float32 `(n,)` from -1 to 1.

    Raises:
        DatasetError: The file is missing, damaged, truncated or empty, or contains NaN or infinity.
    """
    with open_sound_file(path) as sound:
        resampler = None
        if sound.samplerate != rate:
            resampler = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32", quality="HQ")
        read, announced = 0, sound.frames
        # A damaged header may announce a huge sample rate and many channels.
        size = min(BLOCK_SECONDS * sound.samplerate, _MAX_BLOCK_VALUES // sound.channels)
        last = False
        while not last:
            block = np.ascontiguousarray(sound.read(size, dtype="float32", always_2d=True)[:, 0])
            read += len(block)
            check_finite(path, block)
            last = not len(block)
            if resampler is not None:
                yield resampler.resample_chunk(block, last=last)
            elif not last:
                yield block
        check_length(path, read, announced, sound.format)
