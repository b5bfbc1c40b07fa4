"""Yes and no: synthetic speech, made with commercial text-to-speech services.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_yes_no.7z
- Licence: none stated there.
- Words: yes, no; 16 kHz WAV (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

from mltk_plugin_audio.datasets.utils import SyntheticWords

CLASSES = ("yes", "no")
"""Class names in the order of their ids."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_yes_no.7z"
VERIFY_SHA1 = "abf31f3444f17e94b5bded4d4e2a001b5a6cb1b7"

download = load_data = SyntheticWords("yes_no", DOWNLOAD_URL, VERIFY_SHA1)
