"""Read image files into arrays of one size and colour mode."""

from __future__ import annotations

import io
import os
import struct
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

FILE_FORMATS = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff", "npy")
"""File name endings that count as samples."""

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
"""Colour mode to number of channels."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
"""Ways to resize; `none` besides these means that files must have the wanted size."""

MAX_PIXELS = 40_000_000
"""Larger images are refused: decoded, each takes a few hundred MB, and several are at once."""

_TOO_LARGE = f"it has more than {MAX_PIXELS // 1_000_000} million pixels. Make it smaller, or remove it."

_PILLOW_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}


def read_image(
    path: str | os.PathLike[str],
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Read one file on the scale 0 to 255; the orientation in EXIF data is not applied, as in Keras.

    Args:
        path: An image, or a `.npy` array of shape `(height, width)` or `(height, width, channels)`, whose
            values are taken as they are.
        color_mode: A key of `CHANNELS`.
        target_size: `(height, width)`; `None` keeps the file's own.
        interpolation: One of `INTERPOLATIONS`, or `none`.

    Returns:
        `(height, width, channels)`; uint8, or float32 for images of more than 8 bits and arrays of other
        types.

    Raises:
        DatasetError: The file is missing, damaged or not an image, or does not have the wanted shape.
    """
    name = os.fspath(path)
    try:
        if name.lower().endswith(".npy"):
            image = _array(np.load(name, allow_pickle=False), CHANNELS[color_mode])
        else:
            image = _decode(name, color_mode, target_size, interpolation)
    except DatasetError as e:
        raise DatasetError(f"The image '{name}' cannot be used: {e}") from None
    except Exception as e:  # Pillow's decoders raise OSError, SyntaxError, struct.error, … on damaged files.
        raise DatasetError(f"The image '{name}' cannot be read: {_reason(e)}. Repair or remove it.") from e
    if target_size is not None and image.shape[:2] != tuple(target_size):
        raise DatasetError(
            f"The image '{name}' is {image.shape[0]}×{image.shape[1]} (height × width) "
            f"and not {target_size[0]}×{target_size[1]}, and is not to be resized."
        )
    return image


def _decode(
    name: str, color_mode: str, target_size: tuple[int, int] | None, interpolation: str
) -> np.ndarray:
    data = Path(name).read_bytes()
    size = None if target_size is None or interpolation == "none" else (target_size[1], target_size[0])
    jpeg = _decode_whole_jpeg(data, color_mode)
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
        image = _without_palette(image)
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None and image.size != size:
        image = image.resize(size, Image.Resampling[interpolation.upper()])
    array = np.asarray(image)
    if is_deep and not is_float:
        array = array * np.float32(255 / 65535)
    return _array(array, CHANNELS[color_mode])


def _decode_whole_jpeg(data: bytes, color_mode: str) -> np.ndarray | None:
    """Decode a JPEG file of the usual kind several times quicker than Pillow, and without holding the GIL.

    Returns:
        `(height, width, channels)`; `None` for anything else: another format, four components, an end that
        is missing (OpenCV fills what is missing with grey, Pillow raises).
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
def opencv() -> Any:
    """Return OpenCV without threads of its own: batches are made on threads, which it would take the cores from."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Return height, width and number of components in the frame header; zeros when there is no sound header."""
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


def _without_palette(image: Image.Image) -> Image.Image:
    # Pillow warns when transparency in a palette is dropped on the way to RGB.
    return image.convert("RGBA" if "transparency" in image.info else "RGB")


def _array(array: np.ndarray, channels: int) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[2] == 1 and channels > 1:
        color = np.repeat(array, 3, axis=2)
        array = color if channels == 3 else np.concatenate([color, np.full_like(array, 255)], axis=2)
    if array.ndim != 3 or array.shape[2] != channels:
        raise DatasetError(f"its shape is {array.shape}, and {channels} channels are wanted.")
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known format"
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    if isinstance(error, PermissionError):
        return "reading it is not permitted"
    return str(error).rstrip(".") or type(error).__name__
