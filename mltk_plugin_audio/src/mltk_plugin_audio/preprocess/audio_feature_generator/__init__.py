"""The audio front end under the reference's name, `mltk.core.preprocess.audio.audio_feature_generator`."""

from mltk_plugin_audio.frontend import AudioFeatureGenerator, AudioFeatureGeneratorSettings

__all__ = ["AudioFeatureGenerator", "AudioFeatureGeneratorSettings"]
