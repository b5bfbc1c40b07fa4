"""Noise of public places: six recordings.

- Source: https://mixkit.co/free-sound-effects/public-places
- Licence: https://mixkit.co/license/#sfxFree
- No checksums are published; what is downloaded is not verified.
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
    """Download the recordings into a folder, unless they are there, and return their paths.

    Args:
        dest_dir: The folder.
        sample_rate_hertz: Rate to which they are brought.
        urls: Other addresses to take.
        logger: Where to report; `None` means mltk's own.
    """
    return utils.download(dest_dir, urls or DOWNLOAD_URLS, sample_rate_hertz, logger)
