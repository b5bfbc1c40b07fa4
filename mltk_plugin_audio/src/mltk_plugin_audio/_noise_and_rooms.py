"""Background noise and impulse responses of rooms, read from folders and mixed into clips."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError
from mltk_plugin_audio._files import FILE_FORMATS, read_recording
from mltk_plugin_audio._signal import add_noise, resample, to_float, to_int16

_DIRECT_SOUND_SECONDS = 0.001


@dataclass(frozen=True, eq=False)
class RecordingSet:
    """Recordings with the same sample rate."""

    names: tuple[str, ...]
    samples: tuple[np.ndarray, ...]
    """`(n,)` each: int16 for background noise, float32 for impulse responses."""

    def get_segment(self, index: int, start: float, length: int) -> np.ndarray:
        """Return float32 `(length,)` of a recording; shorter recordings are repeated.

        Args:
            index: Number of the recording.
            start: Start of the segment as a fraction (0 to 1) of the possible range.
            length: Number of samples.
        """
        segment = np.zeros(length, np.float32)
        self.add_segment(index, start, 1.0, segment)
        return segment

    def add_segment(self, index: int, start: float, factor: float, out: np.ndarray) -> None:
        """Add a segment of a recording, multiplied by a factor, to float32 `(length,)`; see `get_segment`."""
        samples = self.samples[index]
        if not len(samples):
            return
        room = len(samples) - len(out) + 1 if len(samples) >= len(out) else len(samples)
        scale = 2**-15 if samples.dtype == np.int16 else 1.0
        add_noise(samples, int(start * room), np.float32(scale), np.float32(factor), out)


def find_folder(setting: str, folder: str | os.PathLike[str], dataset: str | None) -> Path:
    """Return the absolute folder of a setting, which may be relative to the working directory or to the data set.

    Raises:
        DatasetError: The folder does not exist.
    """
    given = Path(folder).expanduser()
    candidates = [given] if given.is_absolute() or dataset is None else [given, Path(dataset, given)]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked = " nor ".join(f"'{c.absolute()}'" for c in candidates)
    raise DatasetError(f"{setting} is '{folder}', but there is no folder {looked}.")


def load_noises(folder: Path, rate: int) -> RecordingSet:
    """Read all recordings of a folder and resample them."""
    return _load(folder, _list_files("bg_noise_dir", folder), rate, False)


def load_impulse_responses(folder: Path, rate: int) -> RecordingSet:
    """Read the impulse responses of a folder: resampled, starting with the direct sound, and with an energy of 1."""
    return _load(folder, _list_files("impulse_response_dir", folder), rate, True)


def list_recordings(folder: Path) -> list[Path]:
    """Return the recordings in a folder, sorted by name; hidden files are skipped."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in FILE_FORMATS and not path.name.startswith(".")
    ]


def _list_files(setting: str, folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and modification time of each recording."""
    found = [(p.name, p.stat()) for p in list_recordings(folder)]
    if not found:
        kinds = ", ".join(FILE_FORMATS)
        raise DatasetError(f"{setting}: the folder '{folder}' has no recordings. Looked for: {kinds}.")
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in found)


# Training and validation share the recordings; sizes and times in the key make a changed file be read again.
@lru_cache(maxsize=4)
def _load(
    folder: Path, files: tuple[tuple[str, int, int], ...], rate: int, impulse_responses: bool
) -> RecordingSet:
    samples = []
    for name, _, _ in files:
        recorded, original_rate = read_recording(folder / name)
        x = resample(to_float(recorded), original_rate, rate)
        # int16 halves the memory, with an error of 98 dB below full scale.
        samples.append(_cut_to_direct_sound(x, rate, name) if impulse_responses else to_int16(x))
    return RecordingSet(tuple(name for name, _, _ in files), tuple(samples))


def _cut_to_direct_sound(x: np.ndarray, rate: int, name: str) -> np.ndarray:
    energy = float(np.sqrt(np.sum(np.square(x, dtype=np.float64))))
    if not energy:
        raise DatasetError(f"The impulse response '{name}' is silent.")
    # The time before the direct sound would delay the clips.
    first = max(0, int(np.abs(x).argmax()) - round(rate * _DIRECT_SOUND_SECONDS))
    return np.asarray(x[first:] / energy, np.float32)
