"""Rock, paper, scissors, version 2: three hand gestures and other objects, 96×96 gray pixels.

- Source: Silicon Labs, https://github.com/SiliconLabs/mltk_assets.
- License: none stated there.
- Size: a download of 17.6 MB (a 7z archive: extracting it needs the package `py7zr`).
"""

from __future__ import annotations

import logging
import os

from ._rock_paper_scissors import list_valid_filenames_in_directory
from ._rock_paper_scissors import load_data as _load_data

__all__ = ["CLASSES", "INPUT_SHAPE", "list_valid_filenames_in_directory", "load_data"]

INPUT_SHAPE = INPUT_HEIGHT, INPUT_WIDTH, INPUT_DEPTH = (96, 96, 1)
"""Height, width and channels."""

CLASSES = ("rock", "paper", "scissor", "_unknown_")
"""Class labels, by class id. `_unknown_` is anything else. `scissors` is accepted for `scissor`."""

DOWNLOAD_URL = "https://github.com/SiliconLabs/mltk_assets/raw/master/datasets/rock_paper_scissors_v2.7z"
CHECKSUM = "bf20c4ee4756b4126e6bb414845157cb553ca206f4b9a697bec4c0849c7e8b7b"
"""SHA-256 of the archive."""


def load_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/rock_paper_scissors/v2",
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = True,
) -> str:
    """Download and extract the data set, if it is missing.

    Args:
        dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path below mltk's own folder.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Replace previously extracted files instead of adding to them.

    Returns:
        The folder with one folder of images per class.
    """
    return _load_data(DOWNLOAD_URL, CHECKSUM, dest_dir, dest_subdir, logger, clean_dest_dir)
