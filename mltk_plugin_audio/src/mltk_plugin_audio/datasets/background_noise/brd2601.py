"""One recording of silence with the microphone of the development board BRD2601.

- Source: Silicon Labs, https://github.com/SiliconLabs/mltk_assets
- Licence: none stated there (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

import logging
import os

from mltk_plugin_audio.datasets.utils import download_archive, resample_folder

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
    """Download the recording, unless already done, and return its path.

    `sample_rate_hertz` is the sample rate of the result; any other than 16 kHz makes a resampled copy. See
    `mltk_plugin_audio.datasets.utils.download_archive` for the other arguments.
    """
    folder = download_archive(
        "brd2601", DOWNLOAD_URL, VERIFY_SHA1, dest_dir, clean_dest_dir=clean_dest_dir, logger=logger
    )
    if sample_rate_hertz == _RATE:
        return f"{folder}/{_NAME}"
    copies = resample_folder(folder, f"{folder}/resampled_{sample_rate_hertz}", sample_rate_hertz)
    return f"{copies}/{_NAME}"
