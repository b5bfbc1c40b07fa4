"""Direction commands: synthetic speech, made with commercial text-to-speech services.

- Source: Silicon Labs, https://www.silabs.com/public/files/github/mltk/datasets/synthetic_direction_commands.7z
- Licence: none stated there.
- Words: left, right, up, down, stop, go; 16 kHz WAV (a 7z archive, which needs the package `py7zr`).
"""

from __future__ import annotations

from mltk_plugin_audio.datasets.utils import SyntheticWords

CLASSES = ("left", "right", "up", "down", "stop", "go")
"""Class names in the order of their ids."""

DOWNLOAD_URL = "https://www.silabs.com/public/files/github/mltk/datasets/synthetic_direction_commands.7z"
VERIFY_SHA1 = "9e9295b4eda3d9da9cd242063c1646b15908da55"

download = load_data = SyntheticWords("direction_commands", DOWNLOAD_URL, VERIFY_SHA1)
