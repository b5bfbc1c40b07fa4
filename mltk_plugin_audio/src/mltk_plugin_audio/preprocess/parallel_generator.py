"""Importable as `mltk.core.preprocess.audio.parallel_generator`."""

from mltk_plugin_audio.generator import AudioIterator, ParallelAudioDataGenerator, ParallelProcessParams

__all__ = ["AudioIterator", "ParallelAudioDataGenerator", "ParallelProcessParams"]
