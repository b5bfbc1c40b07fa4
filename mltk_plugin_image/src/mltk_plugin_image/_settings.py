"""`ImageSettings`: the settings of an image data generator, and the random transforms they describe."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import DTypeLike

from mltk.data import (
    GeneratorSettings,
    Range,
    check_choice,
    check_dtype,
    check_factors,
    check_integer,
    check_number,
    check_range,
)
from mltk.errors import DatasetError, SpecificationError
from mltk.plugins import AugmentationStep
from mltk_plugin_image._augmentation import FILL_MODES, NOISES, RandomTransforms, Shift
from mltk_plugin_image._camera import Blur, ColorJitter, JpegArtifacts, RandomErasing
from mltk_plugin_image._files import ReadingRules

BUILT_IN_STEP = "image_transforms"
"""Name of the augmentation step of the built-in random transforms."""

CAMERA_STEPS = ("color_jitter", "blur", "jpeg", "random_erasing")
"""Names of the augmentation steps that imitate cameras and their files."""


@dataclass(kw_only=True, eq=False)
class ImageSettings(GeneratorSettings):
    """Settings of an image data generator.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of range.
    """

    rotation_range: float = 0
    """Maximum angle to either side, in degrees."""
    width_shift_range: float | Sequence[float] = 0.0
    """Maximum shift to either side: below 1 a fraction of the width, from 1 a number of pixels; an integer `n`
    means whole pixels from 1 - n to n - 1. A list has the values to choose from, with either sign."""
    height_shift_range: float | Sequence[float] = 0.0
    """Like `width_shift_range`, for the height."""
    brightness_range: Sequence[float] | None = None
    """Minimum and maximum factor of the pixel values; 1 keeps them."""
    contrast_range: Sequence[float] | None = None
    """Minimum and maximum factor of the difference from the image's mean brightness; 1 keeps it."""
    noise: Sequence[str] | None = None
    """Kinds of noise: `gauss`, `poisson`, `s&p`, `speckle`; each image gets one of them."""
    noise_strength: float | Mapping[str, float] = 1.0
    """Factor of the default amount of noise, or one factor for each kind. Default amounts: gauss, a standard
    deviation of 4 % of the value range; poisson, 6 % at full brightness; speckle, 10 % of the pixel's value; s&p,
    0.4 % of the pixels."""
    saturation_range: Sequence[float] | None = None
    """Minimum and maximum factor of the saturation of colors: 0 makes gray, 1 keeps them. Step `color_jitter`."""
    hue_range: float = 0.0
    """Maximum change of the hue to either side, in degrees: 10 is a change of light, 180 is any color."""
    blur_range: Sequence[float] | None = None
    """Minimum and maximum standard deviation of a Gaussian blur, in pixels. Step `blur`."""
    jpeg_quality_range: Sequence[int] | None = None
    """Minimum and maximum quality, 1 to 100, of a compression to JPEG. Step `jpeg`."""
    erasing_range: Sequence[float] | None = None
    """Minimum and maximum share of the area of a rectangle that is replaced by noise, e.g. (0.02, 0.2). Step
    `random_erasing`."""
    probabilities: Mapping[str, float] | None = None
    """Probability from 0 to 1 that one of the steps `color_jitter`, `blur`, `jpeg` and `random_erasing` changes an
    image, by name; 1 by default."""
    horizontal_flip: bool = False
    """Swap left and right in half of the images."""
    vertical_flip: bool = False
    """Swap top and bottom in half of the images."""
    shear_range: float = 0.0
    """Maximum shear angle to either side, in degrees."""
    zoom_range: float | Sequence[float] = 0.0
    """Minimum and maximum size of the visible part of the image: 0.5 enlarges it twice. A number z means
    (1 - z, 1 + z). Height and width are drawn independently."""
    channel_shift_range: float = 0.0
    """Maximum value to add to, or subtract from, all channels; results stay within the image's minimum and maximum."""
    fill_mode: str = "nearest"
    """Fill of the area outside of the image: `nearest`, `constant`, `reflect` or `wrap`."""
    cval: float = 0.0
    """Value for the fill mode `constant`."""
    interpolation_order: int = 1
    """0 nearest pixel, 1 bilinear, 2 and above bicubic."""
    featurewise_center: bool = False
    """Subtract the data set's mean (of each channel); needs `fit`."""
    featurewise_std_normalization: bool = False
    """Divide by the data set's standard deviation; turns `featurewise_center` on; needs `fit`."""
    zca_whitening: bool = False
    """Decorrelate the pixels; turns `featurewise_center` on and `featurewise_std_normalization` off; needs
    `fit`."""
    zca_epsilon: float = 1e-6
    """Small number that keeps ZCA whitening from dividing by zero."""
    data_format: str | None = None
    """Layout of the batches, and of arrays for `flow` and `fit`: `channels_first`, or `channels_last` (also for
    `None`)."""
    dtype: DTypeLike | None = None
    """Data type of the images in a batch; `None` means float32. Integers are rounded and clipped."""
    value_range: Sequence[float] = (0.0, 255.0)
    """Minimum and maximum pixel value before standardization: brightness, contrast and noise stay within. Files with
    real numbers (`.npy`, TIFF) are not scaled to it; a warning names those with values outside."""
    alpha_background: float | Sequence[float] | str | None = None
    """Color from 0 to 255, one number or (red, green, blue), on which transparent images are laid unless `color_mode`
    is rgba. `'ignore'` drops the alpha channel, as Keras does; `None` does so too, with a warning."""
    exif_orientation: bool | None = None
    """Turn images upright as their EXIF data say (True), or take the pixels as they are stored, as Keras does (False);
    `None` does the latter, with a warning if an image has an orientation. The orientation of a TIFF file, which is part
    of the format, is always applied."""
    value_bits: int | None = None
    """Number of bits of the values in images of more than 8 bits, which are scaled to 0 to 255: e.g. 12 for a camera's
    raw values in a PNG of 16 bits. `None` means 16, with a warning if all values of an image fit into 12 bits."""
    random_transforms_enabled: bool = True
    """Apply augmentation steps at all."""
    save_to_dir: str | os.PathLike[str] | None = None
    """Folder to write each image to before it is standardized."""
    save_prefix: str | None = None
    """Prefix of the names of these files."""
    save_format: str | None = None
    """Format of these files; `None` means png."""

    def __post_init__(self) -> None:
        self.mean: np.ndarray | None = None
        """Mean of each channel of the data given to `fit`: `(1, 1, channels)`."""
        self.std: np.ndarray | None = None
        """Standard deviation of each channel of the data given to `fit`: `(1, 1, channels)`."""
        self.zca_whitening_matrix: np.ndarray | None = None
        self.featurewise_std_normalization = self.featurewise_std_normalization and not self.zca_whitening
        self.featurewise_center |= self.featurewise_std_normalization or self.zca_whitening
        super().__post_init__()

    def check(self) -> None:
        """Check all settings; called again for each new iterator, since settings may be changed.

        Raises:
            SpecificationError: A setting has the wrong type, or is out of range.
        """
        super().check()
        self.random_transforms()
        self.camera_steps()
        self.reading_rules()
        check_number("zca_epsilon", self.zca_epsilon, minimum=0)
        check_choice("data_format", self.data_format, (None, "channels_last", "channels_first"))
        check_dtype("dtype", self.dtype)
        if self.save_format is not None:
            check_choice("save_format", self.save_format, ("png", "jpg", "jpeg", "bmp"))

    def reading_rules(self) -> ReadingRules:
        """Return how to read images that can be read in more than one way.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range.
        """
        if self.value_bits is not None and check_integer("value_bits", self.value_bits, minimum=9) > 32:
            raise SpecificationError(f"value_bits must be 9 to 32, got {self.value_bits}.")
        check_choice("exif_orientation", self.exif_orientation, (None, True, False))
        return ReadingRules(
            alpha_background=_make_background(self.alpha_background),
            exif_orientation=self.exif_orientation,
            value_bits=self.value_bits,
            value_range=check_range("value_range", self.value_range),
        )

    def random_transforms(self) -> RandomTransforms:
        """Return the random transforms that the settings describe.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range.
        """
        low, high = check_range("value_range", self.value_range)
        if not low < high:
            raise SpecificationError(f"value_range must be (minimum, maximum), got {self.value_range!r}.")
        return RandomTransforms(
            rotation=check_number("rotation_range", self.rotation_range, minimum=0),
            width_shift=_make_shift("width_shift_range", self.width_shift_range),
            height_shift=_make_shift("height_shift_range", self.height_shift_range),
            shear=check_number("shear_range", self.shear_range, minimum=0),
            zoom=_make_zoom(self.zoom_range),
            channel_shift=check_number("channel_shift_range", self.channel_shift_range, minimum=0),
            horizontal_flip=bool(self.horizontal_flip),
            vertical_flip=bool(self.vertical_flip),
            brightness=check_factors("brightness_range", self.brightness_range),
            contrast=check_factors("contrast_range", self.contrast_range),
            noise=_make_noise(self.noise, self.noise_strength),
            fill_mode=check_choice("fill_mode", self.fill_mode, FILL_MODES),
            fill_value=check_number("cval", self.cval),
            interpolation_order=check_integer("interpolation_order", self.interpolation_order, minimum=0),
            value_range=(low, high),
        )

    def built_in_steps(self) -> Sequence[AugmentationStep]:
        """Return the random transforms as one augmentation step, and each of the steps of a camera that is set."""
        steps = [
            AugmentationStep(
                BUILT_IN_STEP, "transform", self.random_transforms(), domain="image", stream="transform"
            )
        ]
        steps += [
            AugmentationStep(name, "transform", apply, domain="image")
            for name, apply in self.camera_steps().items()
        ]
        return steps

    def camera_steps(self) -> dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]]:
        """Return the steps that imitate cameras and their files, in their order, as far as they are set.

        Raises:
            SpecificationError: One of these settings has the wrong type, or is out of range.
        """
        chances = dict.fromkeys(CAMERA_STEPS, 1.0)
        for name, chance in (self.probabilities or {}).items():
            check_choice("probabilities", name, CAMERA_STEPS)
            chances[name] = check_number(f"probabilities of '{name}'", chance, 0, 1)
        limits = check_range("value_range", self.value_range)
        steps: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {}
        hue = check_number("hue_range", self.hue_range, 0, 180)
        saturation = check_factors("saturation_range", self.saturation_range) or (1.0, 1.0)
        if hue or saturation != (1.0, 1.0):
            steps["color_jitter"] = ColorJitter(saturation, hue, chances["color_jitter"], limits)
        if self.blur_range is not None:
            sigma = check_range("blur_range", self.blur_range, minimum=0)
            steps["blur"] = Blur(sigma, chances["blur"])
        if self.jpeg_quality_range is not None:
            low, high = check_range("jpeg_quality_range", self.jpeg_quality_range, 1, 100)
            steps["jpeg"] = JpegArtifacts((int(low), int(high)), chances["jpeg"], limits)
        if self.erasing_range is not None:
            area = check_range("erasing_range", self.erasing_range, 0, 1)
            steps["random_erasing"] = RandomErasing(area, chances["random_erasing"], limits)
        return steps

    @property
    def augmentation_enabled(self) -> bool:
        """Switch for all augmentation steps: `random_transforms_enabled`."""
        return self.random_transforms_enabled

    def standardize_batch(self, x: np.ndarray) -> np.ndarray:
        """Standardize a float32 batch, channels last, which may be overwritten.

        Returns:
            The batch in the data type and layout of the settings.
        """
        if self.rescale:
            x *= np.float32(self.rescale)
        flat = x.reshape(len(x), -1)
        if self.samplewise_center:
            flat -= flat.mean(axis=1, keepdims=True)
        if self.samplewise_std_normalization:
            # The mean is zero here; NumPy's std would subtract it once more.
            deviation = np.sqrt(np.einsum("ij,ij->i", flat, flat) / np.float32(flat.shape[1]))
            flat /= deviation[:, None] + np.float32(1e-6)
        x = flat.reshape(x.shape)
        if self.featurewise_center and self.mean is not None:
            x -= self.mean
        if self.featurewise_std_normalization and self.std is not None:
            x /= self.std + np.float32(1e-6)
        if self.zca_whitening and self.zca_whitening_matrix is not None:
            x = (x.reshape(len(x), -1) @ self.zca_whitening_matrix).reshape(x.shape)
        return self.to_data_format(self._convert_dtype(x))

    def _convert_dtype(self, x: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self.dtype or np.float32)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            x = np.clip(np.rint(x), limits.min, limits.max)
        return np.asarray(x, dtype)

    def to_data_format(self, x: np.ndarray) -> np.ndarray:
        """Return a batch, channels last, in the layout of the settings."""
        if self.data_format != "channels_first":
            return x
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def to_channels_last(self, x: np.ndarray) -> np.ndarray:
        """Return a batch in the layout of the settings with the channels last.

        Raises:
            DatasetError: The batch does not have four axes.
        """
        if x.ndim != 4:
            wanted = (
                "(n, height, width, channels)" if self.data_format != "channels_first" else "(n, channels, …)"
            )
            hint = " Add a channel axis with x[..., None]." if x.ndim == 3 else ""
            raise DatasetError(f"Images must have the shape {wanted}, got {x.shape}.{hint}")
        return x.transpose(0, 2, 3, 1) if self.data_format == "channels_first" else x


def _make_background(value: float | Sequence[float] | str | None) -> tuple[float, ...] | str | None:
    if value is None or isinstance(value, str):
        return check_choice("alpha_background", value, (None, "ignore"))
    color = value if isinstance(value, Sequence | np.ndarray) else (value,)
    if len(color) not in (1, 3):
        raise SpecificationError(f"alpha_background must be a number or (red, green, blue), got {value!r}.")
    return tuple(check_number("alpha_background", v, 0, 255) for v in color)


def _make_shift(name: str, value: object) -> Shift:
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        choices = tuple(check_number(name, v) for v in value)
        return Shift(choices=choices, relative=max(map(abs, choices), default=0) < 1)
    bound = check_number(name, value, minimum=0)
    return Shift(bound=bound, whole=isinstance(value, Integral), relative=bound < 1)


def _make_zoom(value: object) -> Range:
    if isinstance(value, Real):
        zoom = check_number("zoom_range", value, minimum=0)
        low, high = 1 - zoom, 1 + zoom
    else:
        low, high = check_range("zoom_range", value)
    if low <= 0:
        raise SpecificationError(f"zoom_range must have factors above 0, got {value!r}.")
    return low, high


def _make_noise(
    kinds: Sequence[str] | str | None, strength: float | Mapping[str, float]
) -> tuple[tuple[str, float], ...]:
    kinds = [kinds] if isinstance(kinds, str) else list(kinds or ())
    for name in [*kinds, *(strength if isinstance(strength, Mapping) else ())]:
        check_choice("noise", name, tuple(NOISES))
    factors = strength if isinstance(strength, Mapping) else dict.fromkeys(kinds, strength)
    amounts = tuple(
        (name, NOISES[name] * check_number("noise_strength", factors.get(name, 1.0), minimum=0))
        for name in kinds
    )
    if dict(amounts).get("s&p", 0) > 1:
        raise SpecificationError(
            f"noise_strength of s&p must be at most {1 / NOISES['s&p']:.0f}, which is every pixel."
        )
    return amounts
