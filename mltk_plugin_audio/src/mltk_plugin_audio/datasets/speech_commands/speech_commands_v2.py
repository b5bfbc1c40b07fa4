"""Speech Commands, version 0.02: 105,829 one-second recordings of 35 English words by 2,618 people.

- Source: Pete Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018,
  https://arxiv.org/abs/1804.03209
- Licence: CC BY 4.0.
- Size: a download of 2.4 GB; 16 kHz, 16-bit WAV. `_background_noise_` has six longer recordings of noise.

Files are named `<speaker>_nohash_<n>.wav`; each speaker is whole in one part of a split.
"""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk_plugin_audio._files import as_float, read_recording
from mltk_plugin_audio._listing import list_valid_filenames_in_directory
from mltk_plugin_audio.datasets.utils import download_archive

__all__ = ["CLASSES", "list_valid_filenames_in_directory", "load_clean_data", "load_data"]

DOWNLOAD_URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
CHECKSUM = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
"""SHA-256 of the archive."""

CLASSES = (
    "backward",
    "bed",
    "bird",
    "cat",
    "dog",
    "down",
    "eight",
    "five",
    "follow",
    "forward",
    "four",
    "go",
    "happy",
    "house",
    "learn",
    "left",
    "marvin",
    "nine",
    "no",
    "off",
    "on",
    "one",
    "right",
    "seven",
    "sheila",
    "six",
    "stop",
    "three",
    "tree",
    "two",
    "up",
    "visual",
    "wow",
    "yes",
    "zero",
)
"""The words, which are the names of the folders."""

_QUIETEST_WORD_DB = -50.0
_LEAST_CONTRAST_DB = 6.0
_WINDOW_SECONDS = 0.025

logger = logging.getLogger("mltk.audio")


def load_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/speech_commands/v2",
    clean_dest_dir: bool = True,
) -> str:
    """Download and extract the data set, unless that was done before.

    Args:
        dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's own folder.
        dest_subdir: Path below mltk's own folder.
        clean_dest_dir: Replace what was extracted there before; else add to it.

    Returns:
        The folder with one folder of recordings per word.
    """
    return download_archive(
        "speech_commands", DOWNLOAD_URL, CHECKSUM, dest_dir, dest_subdir, clean_dest_dir=clean_dest_dir
    )


def load_clean_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/speech_commands/v2_cleaned",
    clean_dest_dir: bool = True,
) -> str:
    """Make a copy of the data set without the recordings in which no word can be heard; return its folder.

    Left out is what is damaged; what is silent: the loudest 25 ms are more than 50 dB below full scale; and what
    does not change: they are less than 6 dB above the median. (The reference leaves out files of eight words that
    were chosen by ear.)

    Args:
        dest_dir: A new or empty folder, or one to add to; `None` means `dest_subdir` in mltk's own folder.
        dest_subdir: Path below mltk's own folder.
        clean_dest_dir: Have nothing else in the folder; else add to what it has.
    """
    source = Path(load_data())

    def write(folder: Path) -> None:
        left_out = 0
        for path in sorted(p for p in source.iterdir() if not p.name.startswith(".")):
            if not path.is_dir() or path.name.startswith("_"):
                copy = shutil.copytree if path.is_dir() else shutil.copy2
                copy(path, folder / path.name)
                continue
            (folder / path.name).mkdir()
            files = sorted(path.glob("*.wav"))
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for file, audible in zip(files, pool.map(has_word, files), strict=True):
                    if audible:
                        shutil.copy2(file, folder / path.name)
                    else:
                        left_out += 1
        logger.info("Left out %d recordings of Speech Commands without a word", left_out)

    content = {"source": CHECKSUM, "quietest": _QUIETEST_WORD_DB, "contrast": _LEAST_CONTRAST_DB}
    return write_folder_once(dest_dir or cache_dir() / dest_subdir, content, write, add=not clean_dest_dir)


def has_word(path: str | os.PathLike[str]) -> bool:
    """Tell whether something is to be heard in a recording; see `load_clean_data`."""
    from mltk.errors import DatasetError

    try:
        samples, rate = read_recording(path)
    except DatasetError:
        return False
    size = max(1, round(rate * _WINDOW_SECONDS))
    x = as_float(samples)
    x = x[: len(x) // size * size] if len(x) >= size else np.pad(x, (0, size - len(x)))
    power = np.mean(np.square(x.reshape(-1, size), dtype=np.float64), axis=1) + 1e-12
    loudest = 10 * np.log10(power.max())
    contrast = loudest - 10 * np.log10(np.median(power))
    return bool(loudest >= _QUIETEST_WORD_DB and contrast >= _LEAST_CONTRAST_DB)
