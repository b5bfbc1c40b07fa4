"""Three recordings of each English word in the Multilingual Spoken Words Corpus.

- Source: https://mlcommons.org/datasets/multilingual-spoken-words, subset by Silicon Labs.
- Licence: CC BY 4.0.
- 16 kHz WAV, in two archives (7z, which needs the package `py7zr`).
"""

from __future__ import annotations

import logging
import os

from mltk_plugin_audio.datasets.utils import download_archive

_FOLDER = "https://www.silabs.com/public/files/github/mltk/datasets"

DOWNLOAD_URL1 = f"{_FOLDER}/mlcommons_keywords_subset_part1.7z"
VERIFY_URL1_SHA1 = "6f515d8247e2fee70cd0941420918c8fe57a31e8"
DOWNLOAD_URL2 = f"{_FOLDER}/mlcommons_keywords_subset_part2.7z"
VERIFY_URL2_SHA1 = "7816f5ffa1deeafa9b5b3faae563f44198031796"


def download(
    dest_dir: str | os.PathLike[str],
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> str:
    """Download and extract both archives, unless already done, and return the folder.

    See `mltk_plugin_audio.datasets.utils.download_archive` for the arguments.
    """
    name = "ml_commons_keywords"
    download_archive(
        name, DOWNLOAD_URL1, VERIFY_URL1_SHA1, dest_dir, clean_dest_dir=clean_dest_dir, logger=logger
    )
    return download_archive(
        name, DOWNLOAD_URL2, VERIFY_URL2_SHA1, dest_dir, clean_dest_dir=False, logger=logger
    )
