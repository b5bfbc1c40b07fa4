"""Accelerometer data sets; importable as `mltk.datasets.accelerometer`."""

from . import gestures, tflm_magic_wand

__all__ = ["gestures", "tflm_magic_wand"]
