"""The audio front end by its import path in the reference, `mltk.core.preprocess.audio.audio_feature_generator`."""

from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

__all__ = ["AudioFeatureGenerator", "AudioFeatureGeneratorSettings"]
