"""Six recordings of public places.

- Source: https://mixkit.co/free-sound-effects/public-places
- Licence: https://mixkit.co/license/#sfxFree
- Checksum: none published; downloads are not verified.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from mltk_plugin_audio.datasets import utils

_FOLDER = "https://assets.mixkit.co/active_storage/sfx"

DOWNLOAD_URLS = tuple(f"{_FOLDER}/{n}/{n}.wav" for n in (360, 364, 444, 1386, 447, 453))


def download(
    dest_dir: str | os.PathLike[str],
    sample_rate_hertz: int = 16000,
    urls: str | Sequence[str] | None = None,
    logger: logging.Logger | None = None,
) -> list[str]:
    """Download the recordings to a folder, unless already done, and return their paths.

    Args:
        dest_dir: Folder to write to.
        sample_rate_hertz: Sample rate of the result.
        urls: Addresses that replace the default ones.
        logger: Logger for progress; `None` means the logger of mltk.
    """
    return utils.download(dest_dir, urls or DOWNLOAD_URLS, sample_rate_hertz, logger)
