"""Made defects: samples for a classifier that learns what is normal without having seen an anomaly.

Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", 2021, with lines and blobs
besides pasted patches.
"""

from __future__ import annotations

import numpy as np

from mltk.plugins import AugmentationStep


def made_defects(share: float = 0.5) -> AugmentationStep:
    """Return an augmentation step that puts a defect into a share of the images, and labels these 1.

    A defect is a patch of another place or image, a line or a soft blob, lighter or darker than what is there.

    Args:
        share: Share of the images of each batch, 0 to 1.
    """

    def apply(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return _make_defects(x, y, share, rng)

    return AugmentationStep("made_defects", "batch", apply)


def _make_defects(
    x: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    count = len(x)
    defective = rng.permutation(count) < round(share * count)
    patches, marks = _draw_masks(x.shape[:3], rng)
    moved = np.roll(x[rng.permutation(count)], rng.integers(1, x.shape[1:3]), axis=(1, 2))
    contrast = rng.uniform(0.6, 1.4, (count, 1, 1, 1)).astype(np.float32)
    spread = x.std(axis=(1, 2, 3), keepdims=True)
    shift = spread * _signed(rng, 0.7, 2.5, count)
    # A patch keeps its texture; lines and blobs change the level of what they cover.
    is_patch = (rng.random((count, 1, 1, 1)) < 0.5).astype(np.float32)
    mean = moved.mean(axis=(1, 2, 3), keepdims=True)
    filled = is_patch * (mean + contrast * (moved - mean)) + (1 - is_patch) * (x + shift)
    mask = np.where(is_patch > 0, patches[..., None], marks[..., None]) * defective[:, None, None, None]
    limits = x.min(), x.max()
    return np.clip(x + mask * (filled - x), *limits), _label(y, defective)


def _label(y: np.ndarray, defective: np.ndarray) -> np.ndarray:
    """Return labels in the form of `y`: 1, or the second of two classes, for images with a defect."""
    marked = defective.astype(y.dtype)
    if y.ndim == 2 and y.shape[1] == 2:
        return np.stack([1 - marked, marked], axis=1)
    return marked.reshape(-1, *[1] * (y.ndim - 1))


def _draw_masks(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of patches, and of lines or blobs: float32 `(n, height, width)` from 0 to 1."""
    count, height, width = shape
    size = min(height, width)
    rows = np.arange(height, dtype=np.float32)[None, :, None]
    columns = np.arange(width, dtype=np.float32)[None, None, :]
    middle_y, middle_x = (rng.uniform(0.1 * n, 0.9 * n, (count, 1, 1)) for n in (height, width))
    angle = rng.uniform(0, np.pi, (count, 1, 1))
    along = (rows - middle_y) * np.sin(angle) + (columns - middle_x) * np.cos(angle)
    across = (columns - middle_x) * np.sin(angle) - (rows - middle_y) * np.cos(angle)
    half = rng.uniform(0.08, 0.3, (2, count, 1, 1)) * size
    patch = (np.abs(along) < half[0]) & (np.abs(across) < half[1])
    length, thickness = rng.uniform(0.15, 0.5, (count, 1, 1)) * size, rng.uniform(0.4, 1.5, (count, 1, 1))
    line = np.clip(thickness + 0.5 - np.abs(across), 0, 1) * (np.abs(along) < length)
    radius = rng.uniform(0.06, 0.25, (2, count, 1, 1)) * size
    blob = np.exp(-0.5 * ((along / radius[0]) ** 2 + (across / radius[1]) ** 2))
    is_line = rng.random((count, 1, 1)) < 0.5
    return patch.astype(np.float32), np.where(is_line, line, blob).astype(np.float32)


def _signed(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    sign = np.where(rng.random((count, 1, 1, 1)) < 0.5, -1, 1)
    return (sign * rng.uniform(low, high, (count, 1, 1, 1))).astype(np.float32)
