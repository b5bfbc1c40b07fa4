"""Recordings as data sets: front end, augmentation and keyword spotting for mltk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mltk_plugin_audio.generator import AudioIterator, ParallelAudioDataGenerator, ParallelProcessParams
    from mltk_plugin_audio.mixins import AudioDatasetMixin
    from mltk_plugin_audio.preprocess.audio_feature_generator import (
        AudioFeatureGenerator,
        AudioFeatureGeneratorSettings,
    )

_MODULES = {
    "AudioDatasetMixin": "mixins",
    "AudioFeatureGenerator": "preprocess.audio_feature_generator",
    "AudioFeatureGeneratorSettings": "preprocess.audio_feature_generator",
    "AudioIterator": "generator",
    "ParallelAudioDataGenerator": "generator",
    "ParallelProcessParams": "generator",
}

__all__ = [
    "AudioDatasetMixin",
    "AudioFeatureGenerator",
    "AudioFeatureGeneratorSettings",
    "AudioIterator",
    "ParallelAudioDataGenerator",
    "ParallelProcessParams",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
