"""Speech Commands, version 0.02: 105,829 one-second recordings of 35 English words by 2,618 people.

- Source: Pete Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018,
  https://arxiv.org/abs/1804.03209
- Licence: CC BY 4.0.
- Size: 2.4 GB download; 16 kHz, 16-bit WAV. The folder `_background_noise_` has six longer recordings.

Files are named `<speaker>_nohash_<n>.wav`; a split keeps each speaker in one part.
"""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._signal import to_float
from mltk_plugin_audio._speakers import list_valid_filenames_in_directory
from mltk_plugin_audio.datasets.utils import download_archive

__all__ = ["CLASSES", "list_valid_filenames_in_directory", "load_clean_data", "load_data"]

DOWNLOAD_URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
CHECKSUM = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
"""SHA-256 of the archive."""

_WORDS = """
backward bed bird cat dog down eight five follow forward four go happy house learn left marvin nine no off
on one right seven sheila six stop three tree two up visual wow yes zero
"""

CLASSES = tuple(_WORDS.split())
"""Words, which are the names of the folders."""

_MIN_LEVEL_DB = -50.0
_MIN_CONTRAST_DB = 6.0
_WINDOW_SECONDS = 0.025

logger = logging.getLogger("mltk.audio")


def load_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/speech_commands/v2",
    clean_dest_dir: bool = True,
) -> str:
    """Download and extract the data set, unless already done.

    Args:
        dest_dir: New or empty folder; `None` means `dest_subdir` in mltk's cache folder.
        dest_subdir: Path in mltk's cache folder.
        clean_dest_dir: Replace previously extracted files instead of adding to them.

    Returns:
        The folder with one folder of recordings per word.
    """
    return download_archive(
        "speech_commands", DOWNLOAD_URL, CHECKSUM, dest_dir, dest_subdir, clean_dest_dir=clean_dest_dir
    )


def load_clean_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/speech_commands/v2_cleaned",
    clean_in_place: bool = True,
    clean_dest_dir: bool = True,
) -> str:
    """Copy the data set without the recordings that contain no word, and return the new folder.

    The copy omits damaged recordings, silent ones, whose loudest 25 ms are more than 50 dB below full scale, and
    steady ones, whose loudest 25 ms are less than 6 dB above the median. (The reference omits files of eight words
    that were selected by ear.)

    Args:
        dest_dir: New or empty folder, or one to add to; `None` means `dest_subdir` in mltk's cache folder.
        dest_subdir: Path in mltk's cache folder.
        clean_in_place: Without effect: the original data set stays as it is.
        clean_dest_dir: Refuse a folder with other files instead of adding to it.
    """
    source = Path(load_data())

    def write(folder: Path) -> None:
        skipped = 0
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
                        skipped += 1
        logger.info("Skipped %d recordings of Speech Commands that contain no word", skipped)

    content = {"source": CHECKSUM, "quietest": _MIN_LEVEL_DB, "contrast": _MIN_CONTRAST_DB}
    return write_folder_once(dest_dir or cache_dir() / dest_subdir, content, write, add=not clean_dest_dir)


def has_word(path: str | os.PathLike[str]) -> bool:
    """Return whether a recording contains a word; see `load_clean_data`."""
    try:
        samples, rate = read_recording(path)
    except DatasetError:
        return False
    size = max(1, round(rate * _WINDOW_SECONDS))
    x = to_float(samples)
    x = x[: len(x) // size * size] if len(x) >= size else np.pad(x, (0, size - len(x)))
    power = np.mean(np.square(x.reshape(-1, size), dtype=np.float64), axis=1) + 1e-12
    loudest = 10 * np.log10(power.max())
    contrast = loudest - 10 * np.log10(np.median(power))
    return bool(loudest >= _MIN_LEVEL_DB and contrast >= _MIN_CONTRAST_DB)
