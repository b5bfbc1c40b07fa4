"""The data generator by its import path in the reference, `mltk.core.preprocess.audio.parallel_generator`."""

from mltk_plugin_audio.generator import AudioIterator, ParallelAudioDataGenerator, ParallelProcessParams

__all__ = ["AudioIterator", "ParallelAudioDataGenerator", "ParallelProcessParams"]
