"""Subsets of data sets of MLCommons and Common Voice."""

from mltk_plugin_audio.datasets.mlcommons import ml_commons_keywords, ml_commons_voice

__all__ = [
    "ml_commons_keywords",
    "ml_commons_voice",
]
