"""Recordings of background noise."""

from mltk_plugin_audio.datasets.background_noise import ambient, brd2601, esc50

__all__ = [
    "ambient",
    "brd2601",
    "esc50",
]
