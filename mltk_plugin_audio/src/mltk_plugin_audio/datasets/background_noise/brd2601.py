"""Silence as the microphone of the development board BRD2601 hears it: one recording.

- Source: Silicon Labs, https://github.com/SiliconLabs/mltk_assets
- Licence: none stated there (a 7z archive: extracting it needs the package `py7zr`).
"""

from __future__ import annotations

import logging
import os

from mltk_plugin_audio.datasets.utils import download_archive, resampled_copy

DOWNLOAD_URL = "https://github.com/SiliconLabs/mltk_assets/raw/master/datasets/brd2601_background_audio.7z"
VERIFY_SHA1 = "3069a85002965a7830c660343c215edd4fae39c6"

_NAME = "brd2601_background_audio.wav"
_RATE = 16000


def download(
    dest_dir: str | os.PathLike[str],
    sample_rate_hertz: int = _RATE,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> str:
    """Download the recording, unless it is there, and return its path.

    Args:
        dest_dir: Folder to extract to.
        sample_rate_hertz: Wanted rate; another one than 16 kHz makes a copy in a folder beside it.
        logger: Where to report; `None` means mltk's own.
        clean_dest_dir: Replace what was extracted there before; else add to it.
    """
    folder = download_archive(
        "brd2601", DOWNLOAD_URL, VERIFY_SHA1, dest_dir, clean_dest_dir=clean_dest_dir, logger=logger
    )
    if sample_rate_hertz == _RATE:
        return f"{folder}/{_NAME}"
    copies = resampled_copy(folder, f"{folder}/resampled_{sample_rate_hertz}", sample_rate_hertz)
    return f"{copies}/{_NAME}"
