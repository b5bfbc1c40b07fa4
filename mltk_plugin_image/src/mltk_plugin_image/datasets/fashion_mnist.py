"""Fashion-MNIST: 70,000 images of clothes, 28×28 gray pixels.

- Source: Zalando SE, https://github.com/zalandoresearch/fashion-mnist.
- License: MIT.
- Size: 60,000 training and 10,000 test images; a download of 30.9 MB.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from ._arrays import Downloads, load_idx, write_class_folders

if TYPE_CHECKING:
    from ._arrays import Arrays

INPUT_SHAPE = (28, 28)
"""Height and width."""

CLASSES = ("tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
"""Class labels, by class id."""

SOURCES = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)
"""Folders with the files, tried in this order."""

CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
"""MD5 of the files."""


def load_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> Arrays:
    """Download the data set, if it is missing, and return `((x_train, y_train), (x_test, y_test))`.

    x is uint8 `(n, 28, 28)`, 0 (background) to 255; y is uint8 `(n,)`, the class id.

    Args:
        dest_dir: Folder for the downloaded files; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path in mltk's folder; `None` means `downloads/fashion_mnist`.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download the files again.
    """
    downloads = Downloads("fashion_mnist", dest_dir, dest_subdir, logger, clean_dest_dir)
    return load_idx(downloads, SOURCES, CHECKSUMS)


def load_data_directory(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> str:
    """Write all images as PNG files to one folder per class, and return the data set folder.

    The file names start with `train` or `test`; the test images come first in a sorted listing.

    Args:
        dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path in mltk's folder; `None` means `datasets/fashion_mnist`.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download and write the files again.
    """
    data = load_data(logger=logger, clean_dest_dir=clean_dest_dir)
    return write_class_folders("fashion_mnist", CLASSES, data, dest_dir, dest_subdir, clean_dest_dir)
