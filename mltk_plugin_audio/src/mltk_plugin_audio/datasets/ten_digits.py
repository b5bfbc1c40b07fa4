"""Ten digits: synthetic speech, made with commercial text-to-speech services.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_ten_digits.7z
- Licence: none stated there.
- Words: the digits; 16 kHz WAV (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

from mltk_plugin_audio.datasets.utils import SyntheticWords

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Class names in the order of their ids."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/sl_synthetic_ten_digits.7z"
VERIFY_SHA1 = "a716e86a27fb5255d2a3bff4441dcd5b4044ea3a"

download = load_data = SyntheticWords("ten_digits", DOWNLOAD_URL, VERIFY_SHA1)
