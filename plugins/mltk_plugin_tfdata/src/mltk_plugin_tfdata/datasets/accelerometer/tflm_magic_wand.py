"""TensorFlow Lite Micro's "magic wand": three gestures and other motions, recorded by nine persons.

- Source: the magic wand example of TensorFlow Lite Micro, https://github.com/tensorflow/tflite-micro.
- Licence: Apache-2.0, copyright of the TensorFlow authors.
- Content: x, y and z acceleration at 25 Hz, in 1/1000 of gravity, as text files; still, straight and random motions are
  generated. Training samples are also shifted, stretched and scaled, and get noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import DatasetError
from mltk.utils.archive_downloader import download_verify_extract, mirrored_url

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

DOWNLOAD_URL = "https://storage.googleapis.com/download.tensorflow.org/models/tflite/magic_wand/data.tar.gz"
CHECKSUM = "5f130f7a65db62e17e7de62d635ab7ae0f929047"
"""SHA-1 of the archive, the same as in the reference."""

CLASSES = ("wing", "ring", "slope", "negative")
"""Class labels, by class id."""

SEED = 30
"""Seed of the generated motions, the split and the augmentation."""

_VALIDATION = ("lsj", "pengxl", "negative2", "negative7")
_TEST = ("liucx", "zhangxy", "negative1", "negative8")
_NEGATIVE_LENGTH = 120
_N_GENERATED = 100
# Factors of duration and amplitude.
_FACTORS = (4 / 9, 2 / 3, 3 / 4, 7 / 9, 6 / 5, 3 / 2, 5 / 3, 9 / 5)


@dataclass(frozen=True)
class _Motion:
    values: Array
    label: str
    person: str


class DataLoader:
    """The three parts of the data set.

    After `format`, `train_data`, `valid_data` and `test_data` are `tf.data.Dataset`s of float32 `(seq_length, 3)` and
    the int32 class id, and `train_len`, `valid_len` and `test_len` their numbers of samples. Before, they are lists of
    recordings of any length.

    Args:
        parts: Training, validation and test recordings.
        seq_length: Number of rows of a sample.
    """

    def __init__(self, parts: Sequence[Sequence[_Motion]], seq_length: int) -> None:
        self.dim = 3
        self.seq_length = seq_length
        self.label2id = {label: i for i, label in enumerate(CLASSES)}
        self._parts = parts
        self.train_data: list[Array] | tf.data.Dataset
        self.valid_data: list[Array] | tf.data.Dataset
        self.test_data: list[Array] | tf.data.Dataset
        self.train_data, self.valid_data, self.test_data = ([m.values for m in part] for part in parts)
        self.train_label, self.valid_label, self.test_label = ([m.label for m in part] for part in parts)
        self.train_len, self.valid_len, self.test_len = map(len, parts)

    def format(self) -> None:
        """Pad or cut the recordings, each once at its beginning and once at its end, and make data sets of them."""
        rng = np.random.default_rng(SEED)
        self.train_len, self.train_data = self._dataset(self._parts[0], rng)
        self.valid_len, self.valid_data = self._dataset(self._parts[1], rng)
        self.test_len, self.test_data = self._dataset(self._parts[2], rng)

    def _dataset(self, part: Sequence[_Motion], rng: np.random.Generator) -> tuple[int, tf.data.Dataset]:
        import tensorflow as tf

        x = np.stack([padded for m in part for padded in self.pad(m.values, rng)])
        y = np.repeat(np.asarray([self.label2id[m.label] for m in part], np.int32), 2)
        return len(x), tf.data.Dataset.from_tensor_slices((x, y))

    def pad(self, values: Array, rng: np.random.Generator) -> list[Array]:
        """Return a recording padded to `seq_length` rows: once before and once after, with the edge value and noise.

        Args:
            values: Recording `(n, 3)`; longer recordings are truncated.
            rng: Generator of the noise.
        """
        clip = values[: self.seq_length]
        missing = self.seq_length - len(clip)
        noise = rng.uniform(-10, 10, (2, missing, self.dim)).astype(np.float32)
        return [
            np.concatenate([values[0] + noise[0], clip]).astype(np.float32),
            np.concatenate([clip, values[-1] + noise[1]]).astype(np.float32),
        ]


def load_data(seq_length: int = 128, person: bool = True) -> DataLoader:
    """Load the data set; download it first if necessary.

    Args:
        seq_length: Number of rows of a sample.
        person: Split by person; otherwise use 60, 20 and 20 % of all samples.

    Raises:
        DatasetError: A file is damaged.
        DownloadError: The archive cannot be downloaded.
    """
    folder = download_verify_extract(
        mirrored_url(DOWNLOAD_URL, "tflm_magic_wand"),
        dest_subdir="datasets/accelerometer/tflm_magic_wand",
        archive_fname="tflm_magic_wand.tar.gz",
        file_hash=CHECKSUM,
        show_progress=True,
    )
    rng = np.random.default_rng(SEED)
    motions = [*_read_recordings(Path(folder)), *_generate_motions(rng)]
    motions = [motions[i] for i in rng.permutation(len(motions))]
    if person:
        train = [m for m in motions if m.person not in (*_VALIDATION, *_TEST)]
        validation = [m for m in motions if m.person in _VALIDATION]
        test = [m for m in motions if m.person in _TEST]
    else:
        first, second = round(0.6 * len(motions)), round(0.8 * len(motions))
        train, validation, test = motions[:first], motions[first:second], motions[second:]
    return DataLoader(([v for m in train for v in _augment(m, rng)], validation, test), seq_length)


def _read_recordings(folder: Path) -> list[_Motion]:
    """Read the files `<class>/output_<class>_<person or number>.txt`."""
    motions = []
    for label in CLASSES:
        files = sorted(folder.rglob(f"{label}/output_{label}_*.txt"))
        if not files:
            raise DatasetError(f"The data set in '{folder}' has no recordings of '{label}'.")
        for file in files:
            who = file.stem.rpartition("_")[2]
            recordings = _read(file)
            if label == "negative":
                who = f"negative{who}"
                recordings = [
                    r[i : i + _NEGATIVE_LENGTH]
                    for r in recordings
                    for i in range(0, len(r), _NEGATIVE_LENGTH)
                ]
            motions += [_Motion(r, label, who) for r in recordings]
    return motions


def _read(file: Path) -> list[Array]:
    """Return the recordings of a file: rows of three numbers, separated by rows of three dashes."""
    recordings: list[list[list[float]]] = [[]]
    for i, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        cells = [cell.strip() for cell in line.split(",")]
        if not any(cells):
            continue
        if cells == ["-"] * 3:
            recordings.append([])
            continue
        try:
            row = [float(cell) for cell in cells]
        except ValueError:
            row = []
        if len(row) != 3 or not np.isfinite(row).all():
            raise DatasetError(f"Line {i + 1} of '{file}' is not an acceleration: '{line[:60]}'.")
        recordings[-1].append(row)
    return [np.asarray(r, np.float32) for r in recordings if r]


def _generate_motions(rng: np.random.Generator) -> list[_Motion]:
    """Generate straight, random and still motions, most of them for training."""
    rows = np.arange(128)[:, None]
    motions = []
    for i in range(_N_GENERATED):
        who = "negative8" if i > 80 else "negative7" if i > 60 else "negative6"
        origin, slope = rng.uniform(-1000, 1000, 3), rng.uniform(-5, 5, 3)
        straight = origin + rows * slope + rng.uniform(-3, 3, (128, 3))
        random = rng.uniform(-500, 500, (128, 3))
        still = rng.uniform(-1000, 1000, 3) + rng.uniform(-20, 20, (128, 3))
        motions += [_Motion(v.astype(np.float32), "negative", who) for v in (straight, random, still)]
    return motions


def _augment(motion: _Motion, rng: np.random.Generator) -> list[_Motion]:
    """Return a motion and shifted, noisy, stretched and scaled variants of it."""
    values = motion.values
    variants: list[NDArray[np.floating]] = [values]
    variants += [values + rng.uniform(-100, 100, 3) for _ in range(5)]
    variants += [values + rng.uniform(-2.5, 2.5, values.shape) for _ in range(5)]
    variants += [_stretch(values, factor) for factor in _FACTORS]
    variants += [values * factor for factor in _FACTORS]
    return [_Motion(np.asarray(v, np.float32), motion.label, motion.person) for v in variants]


def _stretch(values: Array, factor: float) -> Array:
    n = max(2, round(len(values) * factor))
    old, new = np.linspace(0, 1, len(values)), np.linspace(0, 1, n)
    return np.stack([np.interp(new, old, axis) for axis in values.T], axis=1).astype(np.float32)
