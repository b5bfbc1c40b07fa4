"""Generated grayscale images, 24×24 pixels, of a circle, square, triangle or cross.

The licence is that of this plugin. Position, size, angle, brightness, background and noise vary; some shapes are
filled, others are outlines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Subset = tuple[NDArray[np.uint8], NDArray[np.int32]]

CLASSES = ("circle", "square", "triangle", "cross")
"""Class labels, by class id."""

INPUT_SHAPE = (24, 24, 1)
"""Height, width and channels."""


def load_data(samples_per_class: int = 600, seed: int = 1) -> tuple[Subset, Subset]:
    """Generate `((x_train, y_train), (x_test, y_test))`.

    x is uint8 `(n, 24, 24, 1)`, 0 to 255; y is int32 `(n,)`, the class id; the classes alternate.

    Args:
        samples_per_class: Training samples per class; there are a third as many test samples.
        seed: Seed of the generator, at least 0.
    """
    rng = np.random.default_rng(seed)
    return _subset(samples_per_class, rng), _subset(-(-samples_per_class // 3), rng)


def _subset(per_class: int, rng: np.random.Generator) -> Subset:
    n = per_class * len(CLASSES)
    y = (np.arange(n) % len(CLASSES)).astype(np.int32)
    size = INPUT_SHAPE[0]
    radius = rng.uniform(5, 9, n)
    center = rng.uniform(9, size - 10, (2, n))
    angle = rng.uniform(-0.35, 0.35, n)
    # Pixel coordinates relative to the shape: rotated, with radius 1.
    v, u = np.mgrid[:size, :size][:, None] - center[:, :, None, None]
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    u, v = (cos * u + sin * v) / radius[:, None, None], (cos * v - sin * u) / radius[:, None, None]
    distance = np.choose(y[:, None, None], _distances(u, v))
    outline = (rng.random(n) < 0.4)[:, None, None]
    distance = np.where(outline, np.abs(distance + 0.15) - 0.15, distance)
    coverage = np.clip(0.5 - distance * radius[:, None, None], 0, 1)

    dark, light = rng.uniform(20, 100, n), rng.uniform(150, 235, n)
    swapped = rng.random(n) < 0.3
    ground = np.where(swapped, light, dark)[:, None, None]
    paint = np.where(swapped, dark, light)[:, None, None]
    slope = rng.uniform(-1.2, 1.2, (2, n))[:, :, None, None]
    rows, columns = np.mgrid[:size, :size][:, None] - size / 2
    picture = ground + (paint - ground) * coverage + slope[0] * rows + slope[1] * columns
    picture += rng.normal(0, 10, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)[..., np.newaxis], y


def _distances(u: NDArray[np.float64], v: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the signed distances to the edges of all shapes; negative inside."""
    square = np.maximum(np.abs(u), np.abs(v)) - 0.8
    triangle = np.maximum(v - 0.6, 0.866 * np.abs(u) - 0.5 * v - 0.5)
    bars = [np.maximum(np.abs(a) - 0.28, np.abs(b) - 0.95) for a, b in ((u, v), (v, u))]
    return [np.hypot(u, v) - 0.9, square, triangle, np.minimum(*bars)]
