"""Handwritten digits of OpenCV: 5,000 scanned digits of 20×20 gray pixels, embedded.

- Source: the sample image `digits.png` of OpenCV 4.6.0.
- License: Apache-2.0, copyright of OpenCV's contributors (see `data/NOTICE.txt`).
- Size: 2,500 training and 2,500 test images, 250 of each digit; 0.6 MB. The halves are those of OpenCV's
  tutorial, which reports an accuracy of 91 % for its nearest-neighbor classifier.
"""

from __future__ import annotations

import os
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from ._arrays import write_class_folders

if TYPE_CHECKING:
    from ._arrays import Arrays

INPUT_SHAPE = (20, 20, 1)
"""Height, width and channels."""

CLASSES = tuple("0123456789")
"""Class labels, by class id."""


def load_data() -> Arrays:
    """Return `((x_train, y_train), (x_test, y_test))`.

    x is uint8 `(2500, 20, 20, 1)`, 0 (background) to 255; y is uint8 `(2500,)`, the digit. The images are
    sorted by digit.
    """
    with files(__package__).joinpath("data/digits.npz").open("rb") as file, np.load(file) as arrays:
        return (
            (arrays["x_train"][..., np.newaxis], arrays["y_train"]),
            (arrays["x_test"][..., np.newaxis], arrays["y_test"]),
        )


def load_data_directory(dest_dir: str | os.PathLike[str] | None = None) -> str:
    """Write all images as PNG files to one folder per digit, and return the data set folder.

    The file names start with `train` or `test`. The test images come first in a sorted listing, so a data
    generator with `validation_split=0.5` validates with exactly these.

    Args:
        dest_dir: A new or empty folder; `None` means `datasets/digits` in mltk's folder.
    """
    return write_class_folders("digits", CLASSES, load_data(), dest_dir)
