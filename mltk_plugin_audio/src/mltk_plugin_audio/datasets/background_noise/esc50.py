"""ESC-50: 2,000 environmental sounds of 5 s in 50 classes.

- Source: Karol J. Piczak, "ESC: Dataset for Environmental Sound Classification", 2015,
  https://github.com/karolpiczak/ESC-50
- Licence: CC BY-NC 3.0; clips from freesound.org.
- Size: 600 MB download; 44.1 kHz.
"""

from __future__ import annotations

import logging
import os

from mltk_plugin_audio.datasets.utils import download_archive, resample_folder

DOWNLOAD_URL = "https://github.com/karolpiczak/ESC-50/archive/a5e0c7451e12a751302b32283f1f039cbd111356.zip"
VERIFY_SHA1 = "160bb1269418240f9d2bb86eee598ffbd882ca89"

_RATE = 44100


def download(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str = "datasets/esc-50",
    sample_rate_hertz: int = 16000,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = True,
) -> str:
    """Download, extract and resample the data set, unless already done.

    `sample_rate_hertz` is the sample rate of the result. See
    `mltk_plugin_audio.datasets.utils.download_archive` for the other arguments.

    Returns:
        The folder with the recordings.
    """
    folder = download_archive(
        "esc-50",
        DOWNLOAD_URL,
        VERIFY_SHA1,
        dest_dir,
        dest_subdir,
        archive_fname="ESC-50.zip",
        remove_root_dir=True,
        clean_dest_dir=clean_dest_dir,
        logger=logger,
    )
    if sample_rate_hertz == _RATE:
        return f"{folder}/audio"
    return resample_folder(f"{folder}/audio", f"{folder}/audio_{sample_rate_hertz}", sample_rate_hertz)
