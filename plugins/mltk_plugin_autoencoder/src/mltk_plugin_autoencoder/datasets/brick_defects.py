"""Patches of a brick wall, sound and with defects: real texture, made defects, embedded.

- Source: the photograph `brick` of scikit-image 0.26.0; training patches are from its left part, test patches from its
  right one.
- Licence: CC0 (see `data/NOTICE.txt`).
- Size: 300 normal training patches of 32x32 grey pixels; 60 normal test patches, and 20 with each defect: a piece of
  another texture, a scratch, a stain.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

INPUT_SHAPE = (32, 32, 1)
"""Height, width and channels."""

CLASSES = ("normal", "foreign", "scratch", "stain")
"""Class labels, by class id, the normal one first."""


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return `((x_train, y_train), (x_test, y_test))`.

    x is uint8 `(n, 32, 32, 1)`, 0 to 255; y is uint8 `(n,)`, the class; the training patches are all normal.
    """
    with files(__package__).joinpath("data/brick_defects.npz").open("rb") as file, np.load(file) as arrays:
        x_train, x_test, y_test = (arrays[name] for name in ("x_train", "x_test", "y_test"))
    return (x_train[..., None], np.zeros(len(x_train), np.uint8)), (x_test[..., None], y_test)
