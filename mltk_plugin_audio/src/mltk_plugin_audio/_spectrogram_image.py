"""Image file of a spectrogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mltk.utils.files import atomic_path


def write_picture(path: Path, spectrogram: np.ndarray) -> str:
    """Write a spectrogram `(frames, channels)` as a PNG file: time to the right, high frequencies at the top."""
    from matplotlib import colormaps, image

    values = np.asarray(spectrogram, np.float32).reshape(len(spectrogram), -1).T[::-1]
    extent = float(np.ptp(values)) or 1.0
    pixels = colormaps["magma"]((values - values.min()) / extent)
    with atomic_path(path) as temporary:
        image.imsave(temporary, np.repeat(np.repeat(pixels, 4, axis=0), 4, axis=1))
    return str(path)
