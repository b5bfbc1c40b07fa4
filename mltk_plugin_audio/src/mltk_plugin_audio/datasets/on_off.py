"""On and off: synthetic speech, made with the speech services of several companies.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_on_off.7z
- Licence: none stated there.
- Words: on, off; 16 kHz WAV (a 7z archive: extracting needs `py7zr`).
"""

from __future__ import annotations

from .utils import SyntheticWords

CLASSES = ("on", "off")
"""Class labels, by class id."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_on_off.7z"
VERIFY_SHA1 = "b20697b82f883e4dc5e0afc4b7dc950d3339e703"

download = load_data = SyntheticWords("on_off", DOWNLOAD_URL, VERIFY_SHA1)
