"""Hey Gecko: synthetic speech, made with the speech services of several companies.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_hey_gecko2.7z
- Licence: none stated there.
- Words: hey gecko, and others (`_unknown_`); 16 kHz WAV (a 7z archive: extracting needs `py7zr`).
"""

from __future__ import annotations

import logging
import os

from .utils import download_archive

CLASSES = ("heygecko", "_unknown_")
"""Class labels, by class id."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_hey_gecko2.7z"
VERIFY_SHA1 = "69064ca13f7c4c1e20b7672162e204851c64aef6"


def download(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/hey_gecko",
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = True,
) -> str:
    """Download and extract the data set, unless that was done before.

    Args:
        dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's own folder.
        dest_subdir: Path below mltk's own folder.
        logger: Where to report; `None` means mltk's own.
        clean_dest_dir: Replace what was extracted there before; else add to it.

    Returns:
        The folder with one folder of recordings per class.
    """
    return download_archive(
        "hey_gecko",
        DOWNLOAD_URL,
        VERIFY_SHA1,
        dest_dir,
        dest_subdir,
        clean_dest_dir=clean_dest_dir,
        logger=logger,
    )


def load_data() -> str:
    """Download the data set, unless it is there, and return its folder."""
    return download()
