"""Images of samples and their reconstructions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mltk.results import drawing, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 200
"""Maximum number of images per class."""


class SampleWriter:
    """Write `<folder>/<class>/<i>.png`: original, reconstruction and error of sample i of the class.

    One-dimensional samples are drawn as lines, all others as images.

    Args:
        folder: Output folder.
        classes: Names of the classes.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        # Replace characters that are not safe in file names.
        self._folders = [folder / (re.sub(r"[^\w-]+", "_", name) or "_") for name in classes]

    def write(
        self, index: int, first: int, originals: np.ndarray, decoded: np.ndarray, scores: np.ndarray
    ) -> None:
        """Write the images of a batch, up to the limit of its class.

        Args:
            index: Index of the class.
            first: Index of the batch's first sample within the class.
            originals: `(n, …)`.
            decoded: Of the same shape.
            scores: `(n,)`.
        """
        for i in range(min(len(originals), LIMIT - first)):
            title = f"Score {scores[i]:.6g}"
            with drawing(
                partial(_draw, original=originals[i], decoded=decoded[i], title=title),
                show=False,
            ) as figure:
                save_figure(figure, self._folders[index] / f"{first + i}.png")


def _draw(figure: Figure, original: np.ndarray, decoded: np.ndarray, title: str) -> None:
    if original.ndim == 1 or original.size == len(original):
        _draw_lines(figure, original.reshape(-1), decoded.reshape(-1), title)
    else:
        _draw_pictures(figure, _picture(original), _picture(decoded), title)


def _draw_lines(figure: Figure, original: np.ndarray, decoded: np.ndarray, title: str) -> None:
    figure.set_size_inches(6.4, 3.6)
    # Computing a layout takes longer than drawing the image.
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.1, 0.1, 0.87, 0.78))
    axes.fill_between(np.arange(len(original)), original, decoded, color="#f4b8b0", label="Error")
    axes.plot(original, label="Original")
    axes.plot(decoded, label="Reconstruction")
    axes.set_title(title)
    axes.legend(loc="upper right", fontsize=8)


def _draw_pictures(figure: Figure, original: np.ndarray, decoded: np.ndarray, title: str) -> None:
    figure.set_size_inches(7.2, 2.9)
    figure.set_layout_engine("none")
    figure.suptitle(title)
    # The same scale for both, so that an offset or a weak contrast is visible.
    low = float(min(original.min(), decoded.min()))
    high = max(float(max(original.max(), decoded.max())), low + 1e-9)
    error = np.abs(original - decoded)
    # A fixed scale: errors from half of the range on have the brightest color.
    error_scale = {"cmap": "magma", "vmin": 0, "vmax": (high - low) / 2}
    if original.ndim == 3:
        pictures: list[tuple[str, np.ndarray, dict[str, Any]]] = [
            ("Original", (original - low) / (high - low), {}),
            ("Reconstruction", (decoded - low) / (high - low), {}),
            ("Error", error.mean(axis=2), error_scale),
        ]
    else:
        scale = {"cmap": "viridis", "vmin": low, "vmax": high}
        pictures = [
            ("Original", original, scale),
            ("Reconstruction", decoded, scale),
            ("Error", error, error_scale),
        ]
    for i, (name, picture, how) in enumerate(pictures):
        axes = figure.add_axes((0.01 + 0.33 * i, 0.03, 0.32, 0.77))
        axes.imshow(picture, aspect="equal" if _is_near_square(picture) else "auto", **how)
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()


def _picture(sample: np.ndarray) -> np.ndarray:
    """Return `(height, width)`, or `(height, width, 3)` for color images."""
    sample = sample.astype(np.float32)
    if sample.ndim == 3 and sample.shape[2] in (3, 4):
        return sample[:, :, :3]
    return sample.reshape(len(sample), -1)


def _is_near_square(picture: np.ndarray) -> bool:
    height, width = picture.shape[:2]
    return bool(height <= 3 * width and width <= 3 * height)
