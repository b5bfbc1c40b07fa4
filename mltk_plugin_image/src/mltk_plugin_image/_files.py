"""Read image files into arrays of one size and color mode."""

from __future__ import annotations

import io
import os
import struct
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

FILE_FORMATS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff", "npy")
"""File name endings that count as samples."""

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
"""Color mode to number of channels."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
"""Methods to resize; `none` besides them means that files must have the target size."""

MAX_PIXELS = 40_000_000
"""Maximum image size: decoded, a larger one would take hundreds of MB, and several are in memory at once."""

_TOO_LARGE = f"it has more than {MAX_PIXELS // 1_000_000} million pixels. Resize or remove it."

_PILLOW_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}


def read_image(
    path: str | os.PathLike[str],
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Read one file as pixels from 0 to 255; like Keras, ignore the orientation in EXIF data.

    Args:
        path: An image, or a `.npy` array of shape `(height, width)` or `(height, width, channels)`, whose
            values are not scaled.
        color_mode: A key of `CHANNELS`.
        target_size: `(height, width)`; `None` keeps the size of the file.
        interpolation: One of `INTERPOLATIONS`, or `none`.

    Returns:
        `(height, width, channels)`; uint8, or float32 for images of more than 8 bits and arrays of other
        types.

    Raises:
        DatasetError: The file is missing, damaged or not an image, or has another shape.
    """
    name = os.fspath(path)
    try:
        if name.lower().endswith(".npy"):
            image = _set_channels(np.load(name, allow_pickle=False), CHANNELS[color_mode])
        else:
            image = _decode(name, color_mode, target_size, interpolation)
    except DatasetError as e:
        raise DatasetError(f"The image '{name}' cannot be used: {e}") from None
    except Exception as e:  # Pillow raises OSError, SyntaxError, struct.error, … for damaged files.
        raise DatasetError(f"The image '{name}' cannot be read: {_explain(e)}. Repair or remove it.") from e
    if target_size is not None and image.shape[:2] != tuple(target_size):
        raise DatasetError(
            f"The image '{name}' is {image.shape[0]}×{image.shape[1]} (height × width) "
            f"instead of {target_size[0]}×{target_size[1]}, and interpolation 'none' does not resize it."
        )
    return image


def _decode(
    name: str, color_mode: str, target_size: tuple[int, int] | None, interpolation: str
) -> np.ndarray:
    data = Path(name).read_bytes()
    size = None if target_size is None or interpolation == "none" else (target_size[1], target_size[0])
    jpeg = _decode_complete_jpeg(data, color_mode)
    if jpeg is not None and size in (None, (jpeg.shape[1], jpeg.shape[0])):
        return jpeg
    from PIL import Image

    image: Image.Image
    if jpeg is None:
        try:
            image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError:
            raise DatasetError(_TOO_LARGE) from None
        _check_size(image.width, image.height)
    else:
        image = Image.fromarray(jpeg[:, :, 0] if jpeg.shape[2] == 1 else jpeg)
    is_float = image.mode == "F"
    is_deep = is_float or image.mode.startswith("I")
    mode = "F" if is_deep else _PILLOW_MODES[color_mode]
    if image.mode == "P":
        image = _convert_palette(image)
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size != size:
        image = image.resize(size, Image.Resampling[interpolation.upper()])
    array = np.asarray(image)
    if is_deep and not is_float:
        array = array * np.float32(255 / 65535)
    return _set_channels(array, CHANNELS[color_mode])


def _decode_complete_jpeg(data: bytes, color_mode: str) -> np.ndarray | None:
    """Decode a JPEG file of the usual kind several times faster than Pillow, and without holding the GIL.

    Returns:
        `(height, width, channels)`; `None` for any other file: another format, four components, or a truncated
        file (OpenCV fills the missing part with gray, Pillow raises).
    """
    if not data.startswith(b"\xff\xd8") or not data.endswith(b"\xff\xd9") or color_mode == "rgba":
        return None
    height, width, components = _jpeg_frame(data)
    if components not in (1, 3):
        return None
    _check_size(width, height)
    cv2 = opencv()
    mode = cv2.IMREAD_GRAYSCALE if color_mode == "grayscale" else cv2.IMREAD_COLOR_RGB
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if image is None else image.reshape(*image.shape[:2], CHANNELS[color_mode])


@cache
def opencv() -> ModuleType:
    """Return OpenCV without its own threads, which would compete with those that make batches."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Return height, width and number of components of the frame header; zeros without a valid header."""
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack_from(">HHB", data, position + 5)
            return height, width, components
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return 0, 0, 0


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DatasetError(_TOO_LARGE)


def _convert_palette(image: Image.Image) -> Image.Image:
    # Pillow warns if a conversion to RGB drops the transparency of a palette.
    return image.convert("RGBA" if "transparency" in image.info else "RGB")


def _set_channels(array: np.ndarray, channels: int) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[2] == 1 and channels > 1:
        color = np.repeat(array, 3, axis=2)
        array = color if channels == 3 else np.concatenate([color, np.full_like(array, 255)], axis=2)
    if array.ndim != 3 or array.shape[2] != channels:
        raise DatasetError(f"its shape is {array.shape}, but {channels} channels are required.")
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _explain(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a supported format"
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    if isinstance(error, PermissionError):
        return "permission denied"
    return str(error).rstrip(".") or type(error).__name__
