"""Read image files into arrays of one size and color mode."""

from __future__ import annotations

import io
import os
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from mltk.data import FileReport, Finding, Range
from mltk.errors import DatasetError

if TYPE_CHECKING:
    from PIL import Image

FILE_FORMATS = ("png", "jpg", "jpeg", "jfif", "bmp", "gif", "webp", "ppm", "pgm", "tif", "tiff", "npy")
"""File name endings that count as samples."""

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
"""Color mode to number of channels."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
"""Methods to resize; `none` besides them means that files must have the target size."""

MAX_PIXELS = 40_000_000
"""Maximum image size: decoded, a larger one would take hundreds of MB, and several are in memory at once."""

_TOO_LARGE = f"it has more than {MAX_PIXELS // 1_000_000} million pixels. Resize or remove it."

_PILLOW_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}

_ORIENTATION_TAG = 0x0112

TRANSPARENT = Finding(
    "Images with transparent parts, of which the alpha channel is dropped",
    "Set alpha_background of the data generator to the color to lay them on, or to 'ignore'.",
)
ORIENTED = Finding(
    "Images with an orientation in their EXIF data, which is not applied",
    "Set exif_orientation of the data generator to True to turn them upright, or to False.",
)
TWELVE_BITS = Finding(
    "Images of 16 bits that use 12 bits at most, and are therefore dark",
    "If the values have fewer bits, set value_bits of the data generator, e.g. to 12; else to 16.",
)
OUT_OF_RANGE = Finding(
    "Arrays and images of real numbers with values outside of value_range",
    "They are used as they are. Set value_range of the data generator to their minimum and maximum.",
)
UNIT_RANGE = Finding(
    "Arrays and images of real numbers from 0 to 1, although value_range is much larger",
    "They are used as they are. If this is their full range, set value_range=(0, 1) of the data generator.",
)
ANIMATED = Finding("Images with several frames, of which the first is used")


@dataclass(frozen=True)
class ReadingRules:
    """How to read images that can be read in more than one way; see the settings of the generator."""

    alpha_background: tuple[float, ...] | str | None = None
    """Color, 0 to 255, of one or three channels; `ignore`, or `None` to ignore alpha and report it."""
    exif_orientation: bool | None = None
    """`None`: do not apply it, and report it."""
    value_bits: int | None = None
    """`None`: 16, and report images that use fewer."""
    value_range: Range = (0.0, 255.0)


DEFAULT_RULES = ReadingRules()


def read_image(
    path: str | os.PathLike[str],
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "bilinear",
    rules: ReadingRules = DEFAULT_RULES,
    report: FileReport | None = None,
    name: str | None = None,
) -> np.ndarray:
    """Read one file as pixels from 0 to 255.

    Images of more than 8 bits are scaled to 0 to 255; real numbers (`.npy`, TIFF) are not scaled. Of an animation, the
    first frame is used. What else can be meant in two ways is up to `rules`.

    Args:
        path: An image, or a `.npy` array of shape `(height, width)` or `(height, width, channels)`.
        color_mode: A key of `CHANNELS`.
        target_size: `(height, width)`; `None` keeps the size of the file.
        interpolation: One of `INTERPOLATIONS`, or `none`.
        rules: How to read what is ambiguous.
        report: Receives what is unusual; `None` logs it as a warning.
        name: Name of the file in the report; `None` means the path.

    Returns:
        `(height, width, channels)`; uint8, or float32 for images of more than 8 bits and arrays of other
        types.

    Raises:
        DatasetError: The file is missing, damaged, or not an image, has another shape, or holds NaN or infinity.
    """
    file = os.fspath(path)
    own = FileReport(1, file) if report is None else report
    reader = _Reader(file, color_mode, target_size, interpolation, rules, own, name or file)
    try:
        image = reader.read()
    except DatasetError as e:
        raise DatasetError(f"The image '{file}' cannot be used: {e}") from None
    except Exception as e:  # Pillow raises OSError, SyntaxError, struct.error, … for damaged files.
        raise DatasetError(f"The image '{file}' cannot be read: {_explain(e)}. Repair or remove it.") from e
    if target_size is not None and image.shape[:2] != tuple(target_size):
        raise DatasetError(
            f"The image '{file}' is {image.shape[0]}×{image.shape[1]} (height × width) "
            f"instead of {target_size[0]}×{target_size[1]}, and interpolation 'none' does not resize it."
        )
    if report is None:
        own.close()
    return image


@dataclass(frozen=True)
class _Reader:
    """Reads one file."""

    path: str
    color_mode: str
    target_size: tuple[int, int] | None
    interpolation: str
    rules: ReadingRules
    report: FileReport
    name: str

    def read(self) -> np.ndarray:
        if self.path.lower().endswith(".npy"):
            array = _set_channels(np.load(self.path, allow_pickle=False), CHANNELS[self.color_mode])
            self._check_values(array)
            return array
        data = Path(self.path).read_bytes()
        jpeg = self._decode_complete_jpeg(data)
        if jpeg is not None and self._size in (None, (jpeg.shape[1], jpeg.shape[0])):
            return jpeg
        from PIL import Image

        if jpeg is not None:
            return self._resize(Image.fromarray(jpeg[:, :, 0] if jpeg.shape[2] == 1 else jpeg))
        try:
            image: Image.Image = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError:
            raise DatasetError(_TOO_LARGE) from None
        _check_size(image.width, image.height)
        _check_complete(image, data)
        return self._convert(image, data)

    @property
    def _size(self) -> tuple[int, int] | None:
        """Return `(width, height)` to resize to, as Pillow has it."""
        if self.target_size is None or self.interpolation == "none":
            return None
        return self.target_size[1], self.target_size[0]

    def _convert(self, image: Image.Image, data: bytes) -> np.ndarray:
        """Bring an image of any mode of Pillow to the color mode and the size."""
        if getattr(image, "is_animated", False) and image.format != "MPO":
            self.report.add(ANIMATED, self.name)
        orientation = _get_orientation(image)
        deep = _decode_deep_color(image, data)
        if deep is not None:
            return self._convert_deep_color(deep, orientation)
        image = self._turn(image, orientation)
        if image.mode == "F" or image.mode.startswith("I"):
            array = np.asarray(image)
            if image.mode == "F":
                self._check_values(array)
            else:
                array = self._scale(array)
            return _set_channels(self._resize_planes(array), CHANNELS[self.color_mode])
        image = self._flatten(image)
        mode = _PILLOW_MODES[self.color_mode]
        return self._resize(image if image.mode == mode else image.convert(mode))

    def _convert_deep_color(self, deep: np.ndarray, orientation: int) -> np.ndarray:
        from PIL import Image

        planes = [
            self._turn(Image.fromarray(plane), orientation) for plane in np.moveaxis(self._scale(deep), 2, 0)
        ]
        color, alpha = np.stack([np.asarray(p) for p in planes[:3]], axis=2), planes[3:]
        channels = CHANNELS[self.color_mode]
        if alpha and channels < 4:
            color = self._lay_on_background(color, np.asarray(alpha[0])[:, :, None] / np.float32(255))
        if channels == 1:
            color = color @ np.array([[0.299], [0.587], [0.114]], np.float32)
        elif channels == 4:
            full = np.full((*color.shape[:2], 1), 255, np.float32)
            color = np.concatenate([color, np.asarray(alpha[0])[:, :, None] if alpha else full], axis=2)
        return self._resize_planes(color)

    def _turn(self, image: Image.Image, orientation: int) -> Image.Image:
        """Apply the orientation of EXIF data, as the rules say."""
        from PIL import Image

        if orientation not in range(2, 9):
            return image
        if self.rules.exif_orientation is None:
            self.report.add(ORIENTED, self.name)
        if not self.rules.exif_orientation:
            return image
        turns = Image.Transpose
        return image.transpose(
            {
                2: turns.FLIP_LEFT_RIGHT,
                3: turns.ROTATE_180,
                4: turns.FLIP_TOP_BOTTOM,
                5: turns.TRANSPOSE,
                6: turns.ROTATE_270,
                7: turns.TRANSVERSE,
                8: turns.ROTATE_90,
            }[orientation]
        )

    def _flatten(self, image: Image.Image) -> Image.Image:
        """Return an image of 8 bits without palette and, where the color mode has no alpha, without transparency."""
        if image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode == "P":
            image = image.convert("RGB")
        if image.mode != "RGBA" or self.color_mode == "rgba":
            return image
        from PIL import Image

        array = np.asarray(image)
        alpha = array[:, :, 3:] / np.float32(255)
        color = self._lay_on_background(array[:, :, :3], alpha)
        return Image.fromarray(np.rint(color).astype(np.uint8))

    def _lay_on_background(self, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        """Return colors, `(height, width, 3)`, without alpha, `(height, width, 1)` from 0 to 1."""
        background = self.rules.alpha_background
        if alpha.min() >= 1:
            return color
        if background is None:
            self.report.add(TRANSPARENT, self.name)
        if background is None or isinstance(background, str):
            return color
        return np.asarray(color * alpha + np.asarray(background, np.float32) * (1 - alpha))

    def _scale(self, array: np.ndarray) -> np.ndarray:
        """Scale integers of more than 8 bits to float32 from 0 to 255."""
        bits = self.rules.value_bits or 16
        largest, smallest = int(array.max()), int(array.min())
        if smallest < 0 or largest >= 2**bits:
            raise DatasetError(
                f"its values are {smallest:,} to {largest:,}, and not within 0 to {2**bits - 1:,}. Set value_bits of "
                f"the data generator to the number of bits, or convert it."
            )
        if self.rules.value_bits is None and 255 < largest < 4096:
            self.report.add(TWELVE_BITS, self.name)
        return np.asarray(array * np.float32(255 / (2**bits - 1)))

    def _check_values(self, array: np.ndarray) -> None:
        """Refuse numbers that are not finite, and report those out of range."""
        if array.dtype == np.uint8 or not array.size:
            return
        smallest, largest = float(array.min()), float(array.max())
        if not np.isfinite([smallest, largest]).all():
            raise DatasetError("it holds NaN or infinity.")
        low, high = self.rules.value_range
        if smallest < low or largest > high:
            self.report.add(OUT_OF_RANGE, self.name)
        elif low == 0 and high >= 100 and 0 < largest <= 1:
            self.report.add(UNIT_RANGE, self.name)

    def _resize(self, image: Image.Image) -> np.ndarray:
        from PIL import Image

        if self._size is not None and image.size != self._size:
            image = image.resize(self._size, Image.Resampling[self.interpolation.upper()])
        return _set_channels(np.asarray(image), CHANNELS[self.color_mode])

    def _resize_planes(self, array: np.ndarray) -> np.ndarray:
        """Resize real numbers, `(height, width)` or `(height, width, channels)`."""
        from PIL import Image

        array = array.astype(np.float32, copy=False)
        height, width = array.shape[:2]
        if self._size is None or self._size == (width, height):
            return array
        method = Image.Resampling[self.interpolation.upper()]
        planes = array.reshape(height, width, -1)
        resized = [
            np.asarray(Image.fromarray(np.ascontiguousarray(planes[:, :, i])).resize(self._size, method))
            for i in range(planes.shape[2])
        ]
        return np.stack(resized, axis=2).reshape(self._size[1], self._size[0], *array.shape[2:])

    def _decode_complete_jpeg(self, data: bytes) -> np.ndarray | None:
        """Decode a JPEG file of the usual kind several times faster than Pillow, and without holding the GIL.

        Returns:
            `(height, width, channels)`; `None` for any other file: another format, four components, an orientation, or
            a truncated file (OpenCV fills the missing part with gray, Pillow raises).
        """
        if (
            not data.startswith(b"\xff\xd8")
            or not data.endswith(b"\xff\xd9")
            or self.color_mode == "rgba"
            or _has_orientation(data)
        ):
            return None
        height, width, components = _jpeg_frame(data)
        if components not in (1, 3):
            return None
        _check_size(width, height)
        cv2 = opencv()
        mode = cv2.IMREAD_GRAYSCALE if self.color_mode == "grayscale" else cv2.IMREAD_COLOR_RGB
        image = cv2.imdecode(np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
        return None if image is None else image.reshape(*image.shape[:2], CHANNELS[self.color_mode])


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


def _has_orientation(data: bytes) -> bool:
    """Return whether the EXIF data of a JPEG file, which are near the start, tell an orientation."""
    start = data.find(b"Exif\0\0", 0, 65536)
    if start < 0:
        return False
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(data[start : start + 65536])
    except Exception:  # noqa: BLE001 - damaged EXIF data tell no orientation; the image may be whole
        return False
    return bool(exif.get(_ORIENTATION_TAG, 1) != 1)


def _get_orientation(image: Image.Image) -> int:
    """Return the orientation in EXIF data, 1 to 8; 1 is upright."""
    if image.format == "TIFF":  # It is a part of the format, which Pillow and OpenCV apply.
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF data tell no orientation; the image may be whole
        return 1
    return value if isinstance(value, int) else 1


def _check_complete(image: Image.Image, data: bytes) -> None:
    """Raise an error for half a file whose rest is zeros, as some downloads leave it, which Pillow may decode."""
    if image.format in ("JPEG", "MPO"):
        complete = data.rfind(b"\xff\xd9") > data.find(b"\xff\xda")
    elif image.format == "PNG":
        complete = _has_right_checksums(data)
    else:
        return
    if not complete:
        raise OSError("image file is truncated or damaged")


def _has_right_checksums(data: bytes) -> bool:
    """Return whether the pixels of a PNG file have their checksums, which Pillow does not compare."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if kind == b"IDAT" and data[end : end + 4] != struct.pack(">I", zlib.crc32(data[position + 4 : end])):
            return False
        position = end + 4
    return True


def _decode_deep_color(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Decode colors of 16 bits, of which Pillow would keep 8.

    Returns:
        uint16 `(height, width, 3 or 4)`; `None` for images of another kind.
    """
    if image.format == "PNG":
        bits, kind = data[24], data[25]
        if bits != 16 or kind == 0:
            return None
    elif image.format != "TIFF" or image.tag_v2.get(258, ())[:2] != (16, 16):  # type: ignore[attr-defined]  # of a TIFF
        return None
    cv2 = opencv()
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.ndim != 3:
        return None
    return np.asarray(deep[:, :, [2, 1, 0, 3][: deep.shape[2]]])


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
