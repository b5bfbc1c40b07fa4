"""Importable as `mltk.core.preprocess.image.parallel_generator`."""

from mltk_plugin_image.generator import ImageIterator, ParallelImageDataGenerator, ParallelProcessParams

__all__ = ["ImageIterator", "ParallelImageDataGenerator", "ParallelProcessParams"]
