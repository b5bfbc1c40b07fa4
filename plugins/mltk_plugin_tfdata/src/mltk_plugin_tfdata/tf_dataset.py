"""Data sets from directories; importable as `mltk.core.preprocess.utils.tf_dataset`."""

from __future__ import annotations

import os
import wave
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mltk.data import (
    ListFilenamesFunction,
    ProcessSamplesFunction,
    Split,
    list_dataset_directory,
    record_failure,
)
from mltk.errors import DatasetError
from mltk.utils.files import atomic_path, cache_dir
from mltk_plugin_tfdata.parallel import ProcessPool, parallel_process
from mltk_plugin_tfdata.records import cache_to_disk, read_tfrecords, write_tfrecords
from mltk_plugin_tfdata.seeded import SeededBatches, seeded_batches

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "ProcessPool",
    "SeededBatches",
    "cache_to_disk",
    "enable_numpy_behavior",
    "load_audio_directory",
    "load_image_directory",
    "parallel_process",
    "read_tfrecords",
    "seeded_batches",
    "write_tfrecords",
]

AUDIO_FORMATS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf")
IMAGE_FORMATS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif")

_DEFAULT_RATE = 16000


def load_audio_directory(
    directory: str | os.PathLike[str],
    classes: Sequence[str],
    unknown_class_percentage: float = 1.0,
    silence_class_percentage: float = 1.0,
    class_counts: dict[str, int] | None = None,
    onehot_encode: bool = False,
    shuffle: bool = False,
    seed: int | None = None,
    split: Split | None = None,
    max_samples_per_class: int = -1,
    sample_rate_hz: int | None = None,
    return_audio_data: bool = False,
    return_audio_sample_rate: bool = False,
    white_list_formats: Iterable[str] | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
    list_valid_filenames_in_directory_function: ListFilenamesFunction | None = None,
    process_samples_function: ProcessSamplesFunction | None = None,
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Load a directory with one subdirectory of recordings per class.

    The class `_unknown_` contains recordings of other subdirectories, the class `_silence_` one second of zeros. Their
    sizes are relative to the mean size of the other classes. See also
    `mltk.core.preprocess.utils.list_dataset_directory`.

    Args:
        directory: The directory.
        classes: Names of the subdirectories, in the order of the class ids.
        unknown_class_percentage: Relative size of `_unknown_`, at least 0.
        silence_class_percentage: Relative size of `_silence_`, at least 0.
        class_counts: Filled with the number of samples per class.
        onehot_encode: Return one-hot labels, int32 `(n_classes,)`, instead of class ids.
        shuffle: Shuffle the samples once.
        seed: Seed of the order.
        split: Part of each class to load, as two fractions (begin, end).
        max_samples_per_class: Maximum number of samples per class; -1 for all.
        sample_rate_hz: Resample recordings to this rate in Hz; not resampled by default.
        return_audio_data: Return audio samples, float32 `(n,)` from -1 to 1, instead of paths; requires the audio
            plugin.
        return_audio_sample_rate: Return `(samples, rate)` instead of samples; rate is int32, in Hz.
        white_list_formats: File extensions; by default those in `AUDIO_FORMATS`.
        follow_links: Follow symbolic links to directories.
        shuffle_index_directory: Directory for the index of the shuffled files.
        list_valid_filenames_in_directory_function: Function that lists the files of a class.
        process_samples_function: Function that may edit the lists.

    Returns:
        `(x, y)`: two `tf.data.Dataset`. x: absolute path, samples, or samples and rate; y: int32 class id or
        one-hot label.

    Raises:
        DatasetError: The directory, the subdirectory of a class, or all samples of a class are missing.
        PluginNotInstalledError: The audio plugin is missing.
    """
    import tensorflow as tf

    read = _audio_reader(sample_rate_hz) if return_audio_data else None
    paths, ids = list_dataset_directory(
        directory,
        classes,
        unknown_class_percentage=unknown_class_percentage,
        unknown_class_label="_unknown_",
        empty_class_percentage=silence_class_percentage,
        empty_class_label="_silence_",
        class_counts=class_counts,
        shuffle=shuffle,
        seed=seed,
        split=split,
        max_samples_per_class=max_samples_per_class,
        white_list_formats=white_list_formats or AUDIO_FORMATS,
        follow_links=follow_links,
        shuffle_index_directory=shuffle_index_directory,
        return_absolute_paths=True,
        list_valid_filenames_in_directory_function=list_valid_filenames_in_directory_function,
        process_samples_function=process_samples_function,
    )
    if None in paths:
        silence = _silent_file(sample_rate_hz or _DEFAULT_RATE)
        paths = [silence if path is None else path for path in paths]
    x = tf.data.Dataset.from_tensor_slices(paths)
    if read is not None:

        def step(path: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
            samples, rate = tf.numpy_function(read, [path], (tf.float32, tf.int32), stateful=False)
            samples.set_shape([None])
            rate.set_shape([])
            return (samples, rate) if return_audio_sample_rate else samples

        x = x.map(step, num_parallel_calls=tf.data.AUTOTUNE)
    return x, _labels(ids, len(classes) if onehot_encode else None)


def load_image_directory(
    directory: str | os.PathLike[str],
    classes: Sequence[str],
    unknown_class_percentage: float = 1.0,
    class_counts: dict[str, int] | None = None,
    onehot_encode: bool = False,
    shuffle: bool = False,
    seed: int | None = None,
    split: Split | None = None,
    max_samples_per_class: int = -1,
    return_image_data: bool = False,
    white_list_formats: Iterable[str] | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
    list_valid_filenames_in_directory_function: ListFilenamesFunction | None = None,
    process_samples_function: ProcessSamplesFunction | None = None,
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Load a directory with one subdirectory of images per class.

    The arguments are those of `load_audio_directory`, without the class `_silence_`. By default, files end in one
    of `IMAGE_FORMATS`. With `return_image_data`, x are images, uint8 `(height, width, channels)`.

    Returns:
        `(x, y)`: two `tf.data.Dataset`. x: absolute path or image; y: int32 class id or one-hot label.

    Raises:
        DatasetError: The directory, the subdirectory of a class, or all samples of a class are missing.
    """
    import tensorflow as tf

    paths, ids = list_dataset_directory(
        directory,
        classes,
        unknown_class_percentage=unknown_class_percentage,
        unknown_class_label="_unknown_",
        class_counts=class_counts,
        shuffle=shuffle,
        seed=seed,
        split=split,
        max_samples_per_class=max_samples_per_class,
        white_list_formats=white_list_formats or IMAGE_FORMATS,
        follow_links=follow_links,
        shuffle_index_directory=shuffle_index_directory,
        return_absolute_paths=True,
        list_valid_filenames_in_directory_function=list_valid_filenames_in_directory_function,
        process_samples_function=process_samples_function,
    )
    x = tf.data.Dataset.from_tensor_slices(paths)
    if return_image_data:

        def step(path: tf.Tensor) -> tf.Tensor:
            image = tf.numpy_function(_read_image, [path], tf.uint8, stateful=False)
            image.set_shape([None, None, None])
            return image

        x = x.map(step, num_parallel_calls=tf.data.AUTOTUNE)
    return x, _labels(ids, len(classes) if onehot_encode else None)


def enable_numpy_behavior() -> bool:
    """Enable the attributes and type promotion of NumPy arrays for tensors in this process.

    Returns:
        True.
    """
    import tensorflow as tf

    tf.experimental.numpy.experimental_enable_numpy_behavior()
    return True


def _labels(ids: Sequence[int], n_classes: int | None) -> tf.data.Dataset:
    import tensorflow as tf

    labels = np.asarray(ids, np.int32)
    return tf.data.Dataset.from_tensor_slices(
        labels if n_classes is None else np.eye(n_classes, dtype=np.int32)[labels]
    )


def _audio_reader(sample_rate_hz: int | None) -> Callable[[bytes], tuple[np.ndarray, np.int32]]:
    # The name resolves, or raises PluginNotInstalledError, at run time.
    audio = import_module("mltk.core.preprocess.utils").audio

    def read(path: bytes) -> tuple[np.ndarray, np.int32]:
        try:
            samples, rate = audio.read_audio_file(os.fsdecode(path), return_sample_rate=True)
            if sample_rate_hz and rate != sample_rate_hz:
                samples, rate = audio.resample(samples, rate, sample_rate_hz), sample_rate_hz
        except Exception as e:
            raise RuntimeError(record_failure(e)) from e
        return samples, np.int32(rate)

    return read


def _read_image(path: bytes) -> np.ndarray:
    import tensorflow as tf

    try:
        # As an operation of the pipeline, the error would not name the file.
        image: np.ndarray = tf.io.decode_image(tf.io.read_file(path), expand_animations=False).numpy()
    except tf.errors.OpError as e:
        reason = " ".join(e.message.split("[Op:")[0].split())
        error = DatasetError(f"The image '{os.fsdecode(path)}' cannot be read: {reason}")
        raise RuntimeError(record_failure(error)) from e
    return image


def _silent_file(rate: int) -> str:
    """Return the path of a recording of one second of zeros; write it if it does not exist."""
    path = Path(cache_dir()) / "datasets" / "silence" / f"silence-{rate}hz.wav"
    if not path.is_file():
        with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
            file.setparams((1, 2, rate, rate, "NONE", "not compressed"))
            file.writeframes(bytes(2 * rate))
    return path.absolute().as_posix()
