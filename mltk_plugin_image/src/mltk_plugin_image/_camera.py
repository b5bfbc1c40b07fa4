"""Random steps that imitate cameras and their files: colors, blur, JPEG, and parts that are hidden.

Each takes float32 `(n, height, width, channels)` within `value_range`, which it may overwrite, and the random generator
of the step, and returns the changed batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mltk.data import Range
from mltk.errors import DatasetError
from mltk_plugin_image._files import opencv

_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_TO_RGB = np.linalg.inv(_TO_YIQ)
_LARGEST_ASPECT_RATIO = 1 / 0.3


@dataclass(frozen=True)
class ColorJitter:
    """Change saturation and hue: scale and rotate the two color axes of YIQ, which keeps the luminance."""

    saturation: Range = (1.0, 1.0)
    hue: float = 0.0
    """Maximum angle to either side, in degrees."""
    probability: float = 1.0
    value_range: Range = (0.0, 255.0)

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the batch; gray images are not changed."""
        n, height, width, channels = batch.shape
        on = rng.random(n) < self.probability
        factor = np.where(on, rng.uniform(*self.saturation, n), 1)
        angle = np.where(on, np.deg2rad(rng.uniform(-self.hue, self.hue, n)), 0)
        if channels < 3:
            return batch
        turn = np.zeros((n, 3, 3))
        turn[:, 0, 0] = 1
        turn[:, 1, 1] = turn[:, 2, 2] = factor * np.cos(angle)
        turn[:, 2, 1] = factor * np.sin(angle)
        turn[:, 1, 2] = -turn[:, 2, 1]
        matrices = (_TO_RGB @ turn @ _TO_YIQ).astype(np.float32)
        low, high = self.value_range
        colors = batch[on, :, :, :3].reshape(-1, height * width, 3) - np.float32(low)
        changed = colors @ matrices[on].transpose(0, 2, 1) + np.float32(low)
        batch[on, :, :, :3] = np.clip(changed, low, high).reshape(-1, height, width, 3)
        return batch


@dataclass(frozen=True)
class Blur:
    """Blur like a lens out of focus: a Gaussian filter."""

    sigma: Range
    """Standard deviation in pixels."""
    probability: float = 1.0

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the batch."""
        cv2 = opencv()
        on = rng.random(len(batch)) < self.probability
        sigmas = rng.uniform(*self.sigma, len(batch))
        for i in np.flatnonzero(on & (sigmas > 0)):
            blurred = cv2.GaussianBlur(np.ascontiguousarray(batch[i]), (0, 0), sigmas[i])
            batch[i] = blurred.reshape(batch[i].shape)
        return batch


@dataclass(frozen=True)
class JpegArtifacts:
    """Compress to JPEG and decompress."""

    quality: tuple[int, int]
    probability: float = 1.0
    value_range: Range = (0.0, 255.0)

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the batch.

        Raises:
            DatasetError: The images have neither one nor three channels.
        """
        cv2 = opencv()
        n, height, width, channels = batch.shape
        if channels not in (1, 3):
            raise DatasetError(f"JPEG images have 1 or 3 channels, but the images have {channels}.")
        on = rng.random(n) < self.probability
        qualities = rng.integers(self.quality[0], self.quality[1] + 1, size=(n,))
        low, high = self.value_range
        scale = np.float32(255 / (high - low))
        for i in np.flatnonzero(on):
            pixels = np.clip(np.rint((batch[i] - np.float32(low)) * scale), 0, 255).astype(np.uint8)
            # Red and blue are swapped twice: JPEG stores the luminance of colors in the order of OpenCV.
            _, code = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(qualities[i])])
            decoded = cv2.imdecode(code, cv2.IMREAD_UNCHANGED).reshape(height, width, channels)
            batch[i] = decoded[:, :, ::-1] / scale + np.float32(low)
        return batch


@dataclass(frozen=True)
class RandomErasing:
    """Replace a rectangle of each image by noise (Zhong et al., "Random Erasing", 2017)."""

    area: Range
    """Minimum and maximum share of the image's area."""
    probability: float = 1.0
    value_range: Range = (0.0, 255.0)

    def __call__(self, batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the batch."""
        inside = self.draw_rectangles(batch.shape[:3], rng)
        noise = rng.random((int(inside.sum()), batch.shape[3]), np.float32)
        low, high = self.value_range
        batch[inside] = noise * np.float32(high - low) + np.float32(low)
        return batch

    def draw_rectangles(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return bool `(n, height, width)`: a rectangle within each image, or nothing."""
        n, height, width = shape
        on = rng.random(n) < self.probability
        area = rng.uniform(*self.area, n) * height * width
        aspect = _LARGEST_ASPECT_RATIO ** rng.uniform(-1, 1, n)
        sides = []
        for size, other, side in (
            (height, width, np.sqrt(area * aspect)),
            (width, height, np.sqrt(area / aspect)),
        ):
            # A long rectangle that does not fit is as long as the image, and wider.
            length = np.rint(np.clip(side, np.minimum(area / other, size), size))
            first = np.floor(rng.random(n) * (size - length + 1))
            place = np.arange(size)
            sides.append((place >= first[:, None]) & (place < (first + length)[:, None]))
        return np.asarray(sides[0][:, :, None] & sides[1][:, None, :] & on[:, None, None])
