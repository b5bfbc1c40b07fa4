"""Utilities for `tf.data`; importable as `mltk.core.preprocess.utils.tf_dataset`."""

from __future__ import annotations

import os
import wave
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mltk.data.listing import Split, list_dataset_directory
from mltk.data.tf_data import record_failure
from mltk.errors import DatasetError
from mltk.utils.files import atomic_path, cache_dir
from mltk_plugin_tfdata.parallel import ProcessPool, parallel_process
from mltk_plugin_tfdata.records import cache_to_disk, read_tfrecords, write_tfrecords
from mltk_plugin_tfdata.seeded import SeededBatches, seeded_batches

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

AUDIO_FORMATS = (".wav", ".flac", ".ogg", ".mp3")
IMAGE_FORMATS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")

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
    list_valid_filenames_in_directory_function: Callable[..., Any] | None = None,
    process_samples_function: Callable[..., Any] | None = None,
) -> tuple[Any, Any]:
    """List a folder with one folder of recordings per class, as two data sets of equal length.

    The classes `_unknown_` (recordings of folders that are not named) and `_silence_` (a second of zeros) are made up;
    their sizes are those of the mean named class times a factor. For the arguments that are not described here see
    `mltk.core.preprocess.utils.list_dataset_directory`.

    Args:
        directory: The folder.
        classes: Names of its folders, in the order of the ids.
        unknown_class_percentage: Factor, 0 or greater.
        silence_class_percentage: Factor, 0 or greater.
        class_counts: Filled with the number of samples per class.
        onehot_encode: Labels are one-hot int32 `(n_classes,)` instead of ids.
        shuffle: Shuffle the samples once.
        seed: Of that order.
        split: Part of each class, as fractions.
        max_samples_per_class: -1: all.
        sample_rate_hz: Rate that recordings are resampled to; by default they keep their own.
        return_audio_data: Give what is in the files, float32 `(n,)` from -1 to 1, instead of their paths. They are
            read by the audio plugin.
        return_audio_sample_rate: With the data: give `(samples, rate)`; the rate is int32, in Hz.
        white_list_formats: File name endings; by default `.wav`, `.flac`, `.ogg` and `.mp3`.
        follow_links: Follow links to folders.
        shuffle_index_directory: Keeps the order of the files.
        list_valid_filenames_in_directory_function: Lists the files of a class.
        process_samples_function: May edit the lists.

    Returns:
        `(x, y)`: two `tf.data.Dataset`. x: absolute path, samples, or samples and rate; y: int32 id, or one-hot.

    Raises:
        DatasetError: The folder, the folder of a class, or all samples of a class are missing.
        PluginNotInstalledError: `return_audio_data` needs the audio plugin.
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

        def step(path: Any) -> Any:
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
    list_valid_filenames_in_directory_function: Callable[..., Any] | None = None,
    process_samples_function: Callable[..., Any] | None = None,
) -> tuple[Any, Any]:
    """List a folder with one folder of images per class, as two data sets of equal length.

    The arguments are those of `load_audio_directory`; there is no class `_silence_`.

    Args:
        directory: The folder.
        classes: Names of its folders, in the order of the ids.
        unknown_class_percentage: Size of the class `_unknown_`, relative to the mean named class.
        class_counts: Filled with the number of samples per class.
        onehot_encode: Labels are one-hot int32 `(n_classes,)` instead of ids.
        shuffle: Shuffle the samples once.
        seed: Of that order.
        split: Part of each class, as fractions.
        max_samples_per_class: -1: all.
        return_image_data: Give the images, uint8 `(height, width, channels)`, instead of their paths.
        white_list_formats: File name endings; by default `.png`, `.jpg`, `.jpeg`, `.bmp` and `.gif`.
        follow_links: Follow links to folders.
        shuffle_index_directory: Keeps the order of the files.
        list_valid_filenames_in_directory_function: Lists the files of a class.
        process_samples_function: May edit the lists.

    Returns:
        `(x, y)`: two `tf.data.Dataset`. x: absolute path, or image; y: int32 id, or one-hot.

    Raises:
        DatasetError: The folder, the folder of a class, or all samples of a class are missing.
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

        def step(path: Any) -> Any:
            image = tf.numpy_function(_read_image, [path], tf.uint8, stateful=False)
            image.set_shape([None, None, None])
            return image

        x = x.map(step, num_parallel_calls=tf.data.AUTOTUNE)
    return x, _labels(ids, len(classes) if onehot_encode else None)


def enable_numpy_behavior() -> bool:
    """Give tensors the attributes and type promotion of NumPy's arrays, for the whole process.

    Returns:
        True.
    """
    import tensorflow as tf

    tf.experimental.numpy.experimental_enable_numpy_behavior()
    return True


def _labels(ids: Sequence[int], n_classes: int | None) -> Any:
    import tensorflow as tf

    labels = np.asarray(ids, np.int32)
    return tf.data.Dataset.from_tensor_slices(
        labels if n_classes is None else np.eye(n_classes, dtype=np.int32)[labels]
    )


def _audio_reader(sample_rate_hz: int | None) -> Callable[[bytes], tuple[np.ndarray, np.int32]]:
    from mltk.core.preprocess.utils import audio

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
        # The pipeline's own operation would not say which file it cannot read.
        image: np.ndarray = tf.io.decode_image(tf.io.read_file(path), expand_animations=False).numpy()
    except tf.errors.OpError as e:
        reason = " ".join(e.message.split("[Op:")[0].split())
        error = DatasetError(f"The image '{os.fsdecode(path)}' cannot be read: {reason}")
        raise RuntimeError(record_failure(error)) from e
    return image


def _silent_file(rate: int) -> str:
    """Return the path of a recording of one second of zeros, which is written when it is not there."""
    path = Path(cache_dir()) / "datasets" / "silence" / f"silence-{rate}hz.wav"
    if not path.is_file():
        with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
            file.setparams((1, 2, rate, rate, "NONE", "not compressed"))
            file.writeframes(bytes(2 * rate))
    return path.absolute().as_posix()
