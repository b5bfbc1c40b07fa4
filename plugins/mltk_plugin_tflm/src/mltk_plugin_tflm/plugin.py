"""The plugin `tflm`."""

from __future__ import annotations

mltk_api_version = 1
