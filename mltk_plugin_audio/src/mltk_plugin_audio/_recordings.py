"""Folders of recordings that are mixed into clips: background noise, and impulse responses of rooms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError
from mltk_plugin_audio._files import FILE_FORMATS, as_float, read_recording, resampled

_DIRECT_SOUND_SECONDS = 0.001


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings at one rate."""

    names: tuple[str, ...]
    samples: tuple[np.ndarray, ...]
    """`(n,)` each: int16 for background noise, float32 for impulse responses."""

    def segment(self, index: int, start: float, length: int) -> np.ndarray:
        """Return float32 `(length,)` of a recording, which is repeated where it is shorter.

        Args:
            index: Which recording.
            start: Where to begin, as a fraction (0 to 1) of the possible range.
            length: In samples.
        """
        segment = np.zeros(length, np.float32)
        self.add(index, start, 1.0, segment)
        return segment

    def add(self, index: int, start: float, factor: float, out: np.ndarray) -> None:
        """Add a part of a recording, times a factor, to float32 `(length,)`; see `segment`."""
        from mltk_plugin_audio._clips import add_noise

        samples = self.samples[index]
        if not len(samples):
            return
        room = len(samples) - len(out) + 1 if len(samples) >= len(out) else len(samples)
        scale = 2**-15 if samples.dtype == np.int16 else 1.0
        add_noise(samples, int(start * room), np.float32(scale), np.float32(factor), out)


def find_folder(setting: str, folder: str | os.PathLike[str], dataset: str | None) -> Path:
    """Return a folder that is given absolutely, or relative to the working directory or to the data set.

    Raises:
        DatasetError: There is none.
    """
    given = Path(folder).expanduser()
    candidates = [given] if given.is_absolute() or dataset is None else [given, Path(dataset, given)]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked = " nor ".join(f"'{c.absolute()}'" for c in candidates)
    raise DatasetError(f"{setting} is '{folder}', but there is no folder {looked}.")


def load_noises(folder: Path, rate: int) -> Recordings:
    """Read all recordings of a folder, resampled."""
    return _load(folder, _listing("bg_noise_dir", folder), rate, False)


def load_impulse_responses(folder: Path, rate: int) -> Recordings:
    """Read the impulse responses of a folder: resampled, from the direct sound on, of an energy of 1."""
    return _load(folder, _listing("impulse_response_dir", folder), rate, True)


def _listing(setting: str, folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in FILE_FORMATS and not path.name.startswith("."):
            status = path.stat()
            found.append((path.name, status.st_size, status.st_mtime_ns))
    if not found:
        kinds = ", ".join(FILE_FORMATS)
        raise DatasetError(f"{setting}: the folder '{folder}' has no recordings. Looked for: {kinds}.")
    return tuple(found)


# Training and validation, and each load, share what is read; a changed file is read anew.
@lru_cache(maxsize=4)
def _load(
    folder: Path, files: Sequence[tuple[str, int, int]], rate: int, impulse_responses: bool
) -> Recordings:
    samples = []
    for name, _, _ in files:
        recorded, original_rate = read_recording(folder / name)
        x = resampled(as_float(recorded), original_rate, rate)
        samples.append(_from_direct_sound(x, rate, name) if impulse_responses else _as_int16(x))
    return Recordings(tuple(name for name, _, _ in files), tuple(samples))


def _as_int16(x: np.ndarray) -> np.ndarray:
    # Half of the memory; the error is 98 dB below full scale.
    return np.asarray(np.clip(np.rint(x * 32768), -32768, 32767), np.int16)


def _from_direct_sound(x: np.ndarray, rate: int, name: str) -> np.ndarray:
    energy = float(np.sqrt(np.sum(np.square(x, dtype=np.float64))))
    if not energy:
        raise DatasetError(f"The impulse response '{name}' is silent.")
    # What comes before is the way from the loudspeaker, by which clips would be shifted.
    first = max(0, int(np.abs(x).argmax()) - round(rate * _DIRECT_SOUND_SECONDS))
    return np.asarray(x[first:] / energy, np.float32)
