"""Hey Gecko: synthetic speech, made with commercial text-to-speech services.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_hey_gecko2.7z
- Licence: none stated there.
- Words: hey gecko, and others (`_unknown_`); 16 kHz WAV (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

from mltk_plugin_audio.datasets.utils import SyntheticWords

CLASSES = ("heygecko", "_unknown_")
"""Class names in the order of their ids."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_hey_gecko2.7z"
VERIFY_SHA1 = "69064ca13f7c4c1e20b7672162e204851c64aef6"

download = load_data = SyntheticWords("hey_gecko", DOWNLOAD_URL, VERIFY_SHA1)
