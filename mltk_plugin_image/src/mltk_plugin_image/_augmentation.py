"""Random transforms of a batch of images: draw parameters for the whole batch, then apply them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mltk.data import Range, standard_normal
from mltk_plugin_image._files import opencv

FILL_MODES = ("nearest", "constant", "reflect", "wrap")

NOISES: Final[Mapping[str, float]] = {"gauss": 0.04, "poisson": 0.06, "s&p": 0.004, "speckle": 0.1}
"""Kinds of noise, and the amount at a strength of 1.

* `gauss`: standard deviation, as a fraction of the value range
* `poisson`: shot noise: standard deviation at full brightness, as a fraction of the value range; it grows with
  the square root of the brightness
* `s&p`: fraction of the pixels that become black or white
* `speckle`: standard deviation, as a fraction of the pixel's own value
"""

_SALT_AND_PEPPER = "s&p"


TransformValue = float | bool | str | None
"""A parameter of a transform."""
Motion = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Rotations in degrees, shifts in pixels, shears in degrees, zooms."""

UNCHANGED: Final[Mapping[str, TransformValue]] = {
    "theta": 0.0,
    "tx": 0.0,
    "ty": 0.0,
    "shear": 0.0,
    "zx": 1.0,
    "zy": 1.0,
    "flip_horizontal": False,
    "flip_vertical": False,
    "channel_shift_intensity": None,
    "brightness": None,
    "contrast": None,
    "noise": None,
}
"""Parameters that change nothing, by Keras' names: `tx`, `zx` are along the height, `ty`, `zy` along the width."""


@dataclass(frozen=True)
class Shift:
    """Random shift along an axis.

    Either `bound`: uniform between -bound and bound (whole pixels up to bound - 1 if `whole`), or `choices`: one
    of them, with a random sign. Numbers are fractions of the image's size if `relative`, else pixels.
    """

    bound: float = 0.0
    choices: tuple[float, ...] = ()
    whole: bool = False
    relative: bool = False

    def draw(self, n: int, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return `n` shifts in pixels for images that are `size` pixels long on the axis."""
        if self.choices:
            shifts = rng.choice(self.choices, n) * rng.choice((-1.0, 1.0), n)
        elif self.whole:
            shifts = rng.integers(1 - int(self.bound), int(self.bound), n).astype(np.float64)
        else:
            shifts = rng.uniform(-self.bound, self.bound, n)
        return np.asarray(shifts * size if self.relative else shifts, np.float64)

    def __bool__(self) -> bool:
        return bool(self.bound or self.choices)


@dataclass(frozen=True)
class RandomTransforms:
    """Random transforms of images; the defaults change nothing. For the values see `ParallelImageDataGenerator`."""

    rotation: float = 0.0
    width_shift: Shift = Shift()
    height_shift: Shift = Shift()
    shear: float = 0.0
    zoom: Range = (1.0, 1.0)
    channel_shift: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    brightness: Range | None = None
    contrast: Range | None = None
    noise: tuple[tuple[str, float], ...] = ()
    """Kinds and their amounts, see `NOISES`; each image gets one of them."""
    fill_mode: str = "nearest"
    fill_value: float = 0.0
    interpolation_order: int = 1
    value_range: Range = (0.0, 255.0)

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Transform `batch` (float32, `(n, height, width, channels)`), which may be overwritten."""
        batch = np.ascontiguousarray(batch)
        n, height, width, _ = batch.shape
        matrices = self.draw_matrices(n, height, width, rng)
        channel_shifts = _uniform((-self.channel_shift, self.channel_shift), n, rng)
        flips = [self._draw_flips(enabled, n, rng) for enabled in (self.horizontal_flip, self.vertical_flip)]
        if matrices is not None:
            # The channel shift, which comes between the two, does not move pixels.
            matrices = _flip_matrices(matrices, flips, height, width)
            batch = self._warp(batch, matrices)
        if self.channel_shift:
            batch = _shift_channels(batch, channel_shifts)
        if matrices is None:
            batch = _flip(batch, flips)
        if self.brightness:
            batch = self._brightness(batch, _uniform(self.brightness, n, rng))
        if self.contrast:
            batch = self._contrast(batch, _uniform(self.contrast, n, rng))
        if self.noise:
            batch = self._add_noise(batch, rng.integers(len(self.noise), size=(n,)), rng)
        return batch

    def draw_matrices(self, n: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray | None:
        """Draw rotation, shift, shear and zoom.

        Returns:
            float64 `(n, 2, 3)`, which map a pixel `(x, y, 1)` of the result to its source; `None` if nothing moves.
        """
        if not (self.rotation or self.width_shift or self.height_shift or self.shear) and self.zoom == (
            1.0,
            1.0,
        ):
            return None
        return make_matrices(*self._draw_motion(n, height, width, rng), height, width)

    def _draw_motion(self, n: int, height: int, width: int, rng: np.random.Generator) -> Motion:
        theta = rng.uniform(-self.rotation, self.rotation, n)
        shift = np.stack(
            [self.width_shift.draw(n, width, rng), self.height_shift.draw(n, height, rng)], axis=1
        )
        return theta, shift, rng.uniform(-self.shear, self.shear, n), rng.uniform(*self.zoom, (n, 1, 2))

    def draw_one(self, height: int, width: int, rng: np.random.Generator) -> dict[str, TransformValue]:
        """Draw the parameters of one transform: a dictionary with the keys of `UNCHANGED`."""
        theta, shift, shear, zoom = self._draw_motion(1, height, width, rng)
        motion = (theta[0], shift[0, 1], shift[0, 0], shear[0], zoom[0, 0, 1], zoom[0, 0, 0])
        drawn: dict[str, TransformValue] = dict(zip(UNCHANGED, map(float, motion), strict=False))
        drawn["flip_horizontal"] = self.horizontal_flip and bool(rng.random() < 0.5)
        drawn["flip_vertical"] = self.vertical_flip and bool(rng.random() < 0.5)
        limits = {
            "channel_shift_intensity": (-self.channel_shift, self.channel_shift)
            if self.channel_shift
            else None,
            "brightness": self.brightness,
            "contrast": self.contrast,
        }
        drawn.update({name: None if r is None else float(rng.uniform(*r)) for name, r in limits.items()})
        drawn["noise"] = self.noise[rng.integers(len(self.noise))][0] if self.noise else None
        return drawn

    def apply_one(
        self, image: np.ndarray, given: Mapping[str, TransformValue], rng: np.random.Generator
    ) -> np.ndarray:
        """Transform one image, float32 `(height, width, channels)`, by parameters as `draw_one` returns them."""
        p = {**UNCHANGED, **given}
        batch = np.ascontiguousarray(image[None])
        _, height, width, _ = batch.shape
        numbers = {name: np.array([float(p[name] or 0)]) for name in UNCHANGED if name != "noise"}
        if any(p[name] != UNCHANGED[name] for name in ("theta", "tx", "ty", "shear", "zx", "zy")):
            shift = np.stack([numbers["ty"], numbers["tx"]], axis=1)
            zoom = np.stack([numbers["zy"], numbers["zx"]], axis=1)[:, None]
            matrices = make_matrices(numbers["theta"], shift, numbers["shear"], zoom, height, width)
            batch = self._warp(batch, matrices)
        if p["channel_shift_intensity"] is not None:
            batch = _shift_channels(batch, numbers["channel_shift_intensity"].astype(np.float32))
        batch = _flip(batch, [np.array([bool(p[f"flip_{axis}"])]) for axis in ("horizontal", "vertical")])
        if p["brightness"] is not None:
            batch = self._brightness(batch, numbers["brightness"])
        if p["contrast"] is not None:
            batch = self._contrast(batch, numbers["contrast"])
        if p["noise"] is not None:
            batch = self._add_noise(
                batch, np.array([[name for name, _ in self.noise].index(str(p["noise"]))]), rng
            )
        return np.asarray(batch[0])

    def _warp(self, batch: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        cv2 = opencv()
        n, height, width, channels = batch.shape
        border = {
            "nearest": cv2.BORDER_REPLICATE,
            "constant": cv2.BORDER_CONSTANT,
            "reflect": cv2.BORDER_REFLECT,
            "wrap": cv2.BORDER_WRAP,
        }[self.fill_mode]
        flags = (
            cv2.WARP_INVERSE_MAP
            | (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[min(self.interpolation_order, 2)]
        )
        fill = (self.fill_value,) * 4
        # OpenCV has exact kernels for 1, 3 and 4 channels; other numbers are transformed one by one.
        step = channels if channels in (1, 3, 4) else 1
        result = np.empty_like(batch)
        for first in range(0, channels, step):
            part = batch if step == channels else np.ascontiguousarray(batch[..., first : first + 1])
            planes = part.reshape(n, height, width) if step == 1 else part
            warped = np.empty_like(planes)
            for image, matrix, out in zip(planes, matrices, warped, strict=True):
                cv2.warpAffine(image, matrix, (width, height), out, flags, border, fill)
            if step == channels:
                return warped.reshape(batch.shape)
            result[..., first] = warped
        return result

    def _draw_flips(self, enabled: bool, n: int, rng: np.random.Generator) -> np.ndarray | None:
        return rng.random(n) < 0.5 if enabled else None

    def _brightness(self, batch: np.ndarray, factors: np.ndarray) -> np.ndarray:
        low, high = self.value_range
        if low:
            batch -= np.float32(low)
        batch *= _per_image(factors)
        if low:
            batch += np.float32(low)
        return np.clip(batch, low, high, out=batch)

    def _contrast(self, batch: np.ndarray, factors: np.ndarray) -> np.ndarray:
        gray = _mean_luminance(batch)
        batch *= _per_image(factors)
        batch += _per_image(gray * (1 - factors))
        return np.clip(batch, *self.value_range, out=batch)

    def _add_noise(self, batch: np.ndarray, kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = self.value_range
        extent = np.float32(high - low)
        for kind, (name, amount) in enumerate(self.noise):
            chosen = np.flatnonzero(kinds == kind)
            if not len(chosen):
                continue
            images = batch[chosen]
            if name == _SALT_AND_PEPPER:
                _salt_and_pepper(images, amount, (low, high), rng)
            else:
                noise = standard_normal(images.size, rng).reshape(images.shape)
                noise *= np.float32(amount)
                if name == "gauss":
                    noise *= extent
                elif name == "poisson":
                    noise *= np.sqrt(np.maximum(images - np.float32(low), 0) * extent)
                else:
                    noise *= images - np.float32(low)
                images += noise
                np.clip(images, low, high, out=images)
            batch[chosen] = images
        return batch


def make_matrices(
    theta: np.ndarray, shift: np.ndarray, shear: np.ndarray, zoom: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Return the float64 matrices `(n, 2, 3)` of `RandomTransforms.draw_matrices`.

    Args:
        theta: Rotations in degrees, `(n,)`.
        shift: Shifts in pixels, `(n, 2)`: along the width, along the height.
        shear: Shears in degrees, `(n,)`.
        zoom: Factors, `(n, 1, 2)`: of the width, of the height.
        height: Rows of the image.
        width: Columns of the image.
    """
    n, theta, shear = len(theta), np.deg2rad(theta), np.deg2rad(shear)
    rotation = np.stack([np.cos(theta), -np.sin(theta), np.sin(theta), np.cos(theta)], 1).reshape(n, 2, 2)
    shearing = np.stack([np.ones(n), -np.sin(shear), np.zeros(n), np.cos(shear)], 1).reshape(n, 2, 2)
    linear = rotation @ shearing * zoom
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - linear @ centre + (rotation @ shift[:, :, None])[:, :, 0]
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _salt_and_pepper(images: np.ndarray, amount: float, values: Range, rng: np.random.Generator) -> None:
    pixels = images.reshape(-1, images.shape[-1])
    count = rng.binomial(len(pixels), amount)
    # A pixel drawn twice is rare enough at these amounts not to matter.
    where = rng.integers(len(pixels), size=count)
    pixels[where] = np.where(rng.random(count) < 0.5, *values).astype(np.float32)[:, None]


def _mean_luminance(batch: np.ndarray) -> np.ndarray:
    n, height, width, channels = batch.shape
    means = batch.reshape(n, height * width, channels).mean(axis=1)
    if channels in (3, 4):
        means = means[:, :3] * np.array([0.299, 0.587, 0.114], np.float32) * 3
    return np.asarray(means.mean(axis=1))


def _shift_channels(batch: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    flat = batch.reshape(len(batch), -1)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    flat += shifts[:, None]
    return np.clip(flat, low, high, out=flat).reshape(batch.shape)


def _flip_matrices(
    matrices: np.ndarray, flips: Sequence[np.ndarray | None], height: int, width: int
) -> np.ndarray:
    for axis, (flip, last) in enumerate(zip(flips, (width - 1, height - 1), strict=True)):
        if flip is not None:
            matrices[flip, :, 2] += matrices[flip, :, axis] * last
            matrices[flip, :, axis] *= -1
    return matrices


def _flip(batch: np.ndarray, flips: Sequence[np.ndarray | None]) -> np.ndarray:
    horizontal, vertical = flips
    if horizontal is not None:
        batch[horizontal] = batch[horizontal, :, ::-1]
    if vertical is not None:
        batch[vertical] = batch[vertical, ::-1]
    return batch


def _uniform(limits: Range, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(*limits, n).astype(np.float32)


def _per_image(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None, None]
