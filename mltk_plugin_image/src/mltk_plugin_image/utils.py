"""Read and write single image files; importable as `mltk.core.preprocess.utils.image`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from mltk.errors import DatasetError
from mltk.utils.files import atomic_path
from mltk_plugin_image._files import CHANNELS, read_image

__all__ = ["read_image_file", "write_image_file"]


def read_image_file(path: Any, target_channels: int = 0, return_numpy: bool = False) -> Any:
    """Read a PNG, JPEG, BMP or GIF image; works in the functions of a `tf.data` pipeline.

    Args:
        path: A path, or a scalar string tensor.
        target_channels: 1, 3 or 4; 0 keeps those of the file.
        return_numpy: Return an array, read without TensorFlow; `path` must then be an ordinary path.

    Returns:
        `(height, width, channels)` uint8: a tensor or an array.

    Raises:
        DatasetError: The file cannot be read (ordinary paths with `return_numpy`).
    """
    if return_numpy and not _is_tensor(path):
        modes = {channels: mode for mode, channels in CHANNELS.items()}
        return read_image(path, modes[target_channels or _count_channels(path)])
    import tensorflow as tf

    image = tf.io.decode_image(
        tf.io.read_file(path if _is_tensor(path) else os.fspath(path)),
        channels=target_channels,
        expand_animations=False,
    )
    return image.numpy() if return_numpy else image


def write_image_file(path: Any, sample: Any, auto_scale: bool = True, batch_size: int | None = None) -> Any:
    """Write one image, or a batch of images; works in the functions of a `tf.data` pipeline.

    Args:
        path: File whose ending is the format (`.png`, `.jpg`, …), or a folder, into which images
            go as `image-<number>.png`. A tensor may be a path too.
        sample: `(height, width)` or `(height, width, channels)`; with `batch_size`, `(batch, height, …)`.
        auto_scale: Scale floating-point images linearly to 0 to 255; else they are rounded and clipped.
        batch_size: Number of images in `sample`; they are numbered in the file names.

    Returns:
        The path written, or the list of paths of a batch; in a `tf.data` pipeline a string tensor.
    """
    if _is_symbolic(path) or _is_symbolic(sample):
        import tensorflow as tf

        def write(path: Any, sample: Any) -> Any:
            written = _write(path.numpy().decode(), sample.numpy(), auto_scale, batch_size)
            return tf.constant(written)

        return tf.py_function(write, [path, sample], tf.string)
    name = path.numpy().decode() if _is_tensor(path) else os.fspath(path)
    return _write(name, np.asarray(sample), auto_scale, batch_size)


def _write(path: str, sample: np.ndarray, auto_scale: bool, batch_size: int | None) -> str | list[str]:
    if batch_size is None:
        return _write_one(path, sample, auto_scale, None)
    return [_write_one(path, sample[i], auto_scale, i) for i in range(batch_size)]


def _write_one(path: str, sample: np.ndarray, auto_scale: bool, number: int | None) -> str:
    from PIL import Image

    image = sample[:, :, 0] if sample.ndim == 3 and sample.shape[2] == 1 else sample
    if image.dtype != np.uint8:
        image = _convert_to_uint8(image, auto_scale)
    target = _get_target(path, number)
    with atomic_path(target) as temporary:
        Image.fromarray(image).save(temporary)
    return str(target)


def _convert_to_uint8(image: np.ndarray, auto_scale: bool) -> np.ndarray:
    image = image.astype(np.float32)
    if auto_scale:
        low, high = float(image.min()), float(image.max())
        image = (image - low) * (255 / (high - low or 1.0))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _get_target(path: str, number: int | None) -> Path:
    target = Path(path)
    if not target.suffix:
        if number is None:
            number = sum(1 for _ in target.glob("image-*.png"))
        return target / f"image-{number}.png"
    return target if number is None else target.with_name(f"{target.stem}-{number}{target.suffix}")


def _count_channels(path: Any) -> int:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            bands = image.getbands()
    except (OSError, UnidentifiedImageError) as e:
        raise DatasetError(f"The image '{path}' cannot be read: {e}.") from e
    has_color = image.mode == "P" or len(bands) >= 3
    return 4 if bands[-1] == "A" else 3 if has_color else 1


def _is_tensor(value: object) -> bool:
    return (hasattr(value, "dtype") and hasattr(value, "graph")) or hasattr(value, "numpy")


def _is_symbolic(value: object) -> bool:
    return _is_tensor(value) and not hasattr(value, "numpy")
