"""Audio front end: converts samples to spectrograms, bit for bit equal to the firmware."""

from mltk_plugin_audio.frontend._generator import (
    AudioFeatureGenerator,
    AudioFeatureStream,
    quantize_spectrogram,
)
from mltk_plugin_audio.frontend._settings import AudioFeatureGeneratorSettings

__all__ = [
    "AudioFeatureGenerator",
    "AudioFeatureGeneratorSettings",
    "AudioFeatureStream",
    "quantize_spectrogram",
]
