"""tf.data pipelines, from files to training and from one machine to many, for mltk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mltk_plugin_tfdata.mixins import TfDataDatasetMixin
    from mltk_plugin_tfdata.parallel import ProcessPool, parallel_process
    from mltk_plugin_tfdata.records import cache_to_disk, read_tfrecords, write_tfrecords
    from mltk_plugin_tfdata.seeded import SeededBatches, seeded_batches
    from mltk_plugin_tfdata.tf_dataset import (
        enable_numpy_behavior,
        load_audio_directory,
        load_image_directory,
    )

_MODULES = {
    "ProcessPool": "parallel",
    "SeededBatches": "seeded",
    "TfDataDatasetMixin": "mixins",
    "cache_to_disk": "records",
    "enable_numpy_behavior": "tf_dataset",
    "load_audio_directory": "tf_dataset",
    "load_image_directory": "tf_dataset",
    "parallel_process": "parallel",
    "read_tfrecords": "records",
    "seeded_batches": "seeded",
    "write_tfrecords": "records",
}

__all__ = [
    "ProcessPool",
    "SeededBatches",
    "TfDataDatasetMixin",
    "cache_to_disk",
    "enable_numpy_behavior",
    "load_audio_directory",
    "load_image_directory",
    "parallel_process",
    "read_tfrecords",
    "seeded_batches",
    "write_tfrecords",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
