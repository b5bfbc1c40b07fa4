"""Ten synthetic command words from a speech synthesizer, part of this package.

- Source: espeak-ng 1.51 with 30 voices (8 English accents, random speed and pitch) and faint pink noise; see
  `data/NOTICE.txt`.
- Licence: Apache-2.0, like this package. One of the two recordings of background noise is real (CC0).
- Size: 300 recordings of 1 s, 16 kHz, 16 bit; 1.6 MB.

They are for first experiments: accuracy on these words says nothing about real speech.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk_plugin_audio._files import read_recording
from mltk_plugin_audio._speakers import list_valid_filenames_in_directory
from mltk_plugin_audio.utils import write_audio_file

__all__ = ["CLASSES", "list_valid_filenames_in_directory", "load_data"]

CLASSES = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""Class names in the order of their ids."""

_NOISES = ("ambi_soft_buzz", "pink_noise")
_RATE = 16000

logger = logging.getLogger("mltk.audio")


def load_data(
    dest_dir: str | os.PathLike[str] | None = None, dest_subdir: str = "datasets/synthetic_commands"
) -> str:
    """Write the recordings as WAV files to one folder per word, unless already done.

    Files are named `<voice>_nohash_0.wav`, so that a split keeps each voice in one part. The folder
    `_background_noise_` has two recordings of 10 s.

    Args:
        dest_dir: New or empty folder; `None` means `dest_subdir` in mltk's cache folder.
        dest_subdir: Path in mltk's cache folder.

    Returns:
        The folder.
    """
    _announce()
    content = {"dataset": "synthetic_commands", "version": 1}
    return write_folder_once(dest_dir or cache_dir() / dest_subdir, content, _write)


@cache
def _announce() -> None:
    logger.info("These command words are synthetic speech (espeak-ng), not recordings of people.")


def _write(folder: Path) -> None:
    data = files(__package__).joinpath("data")
    voices = data.joinpath("voices.txt").read_text().split()
    for word in CLASSES:
        clips = _read(word).reshape(len(voices), _RATE)
        for voice, clip in zip(voices, clips, strict=True):
            write_audio_file(str(folder / word / f"{voice}_nohash_0.wav"), clip, _RATE)
    for name in _NOISES:
        write_audio_file(str(folder / "_background_noise_" / f"{name}.wav"), _read(name), _RATE)
    (folder / "README.txt").write_text(data.joinpath("NOTICE.txt").read_text())


def _read(name: str) -> np.ndarray:
    with as_file(files(__package__).joinpath(f"data/{name}.ogg")) as path:
        return read_recording(path)[0]
