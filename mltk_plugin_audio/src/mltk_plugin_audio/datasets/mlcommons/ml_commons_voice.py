"""Short clips of read speech from Common Voice.

- Source: https://commonvoice.mozilla.org, subset by Silicon Labs.
- Licence: CC0 1.0.
- 16 kHz WAV (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

import logging
import os

from mltk_plugin_audio.datasets.utils import download_archive

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/common_voice_subset.7z"
VERIFY_SHA1 = "ce424afd5d9b754f3ea6b3a4f78304f48e865f93"


def download(
    dest_dir: str | os.PathLike[str],
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> str:
    """Download and extract the data set, unless already done, and return the folder.

    See `mltk_plugin_audio.datasets.utils.download_archive` for the arguments.
    """
    return download_archive(
        "ml_commons_voice", DOWNLOAD_URL, VERIFY_SHA1, dest_dir, clean_dest_dir=clean_dest_dir, logger=logger
    )
