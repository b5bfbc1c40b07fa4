"""On and off: synthetic speech, made with commercial text-to-speech services.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_on_off.7z
- Licence: none stated there.
- Words: on, off; 16 kHz WAV (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

from mltk_plugin_audio.datasets.utils import SyntheticWords

CLASSES = ("on", "off")
"""Class names in the order of their ids."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_on_off.7z"
VERIFY_SHA1 = "b20697b82f883e4dc5e0afc4b7dc950d3339e703"

download = load_data = SyntheticWords("on_off", DOWNLOAD_URL, VERIFY_SHA1)
