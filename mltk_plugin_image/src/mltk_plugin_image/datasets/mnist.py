"""MNIST: 70,000 handwritten digits of 28×28 gray pixels.

- Source: Yann LeCun, Corinna Cortes and Christopher Burges, from data of NIST.
- License: CC BY-SA 3.0.
- Size: 60,000 training and 10,000 test images; a download of 11.6 MB.
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

CLASSES = tuple("0123456789")
"""Class labels, by class id."""

SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
"""Folders with the files, tried in this order."""

CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
"""MD5 of the files."""


def load_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> Arrays:
    """Download the data set, if it is missing, and return `((x_train, y_train), (x_test, y_test))`.

    x is uint8 `(n, 28, 28)`, 0 (background) to 255; y is uint8 `(n,)`, the digit.

    Args:
        dest_dir: Folder for the downloaded files; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path in mltk's folder; `None` means `downloads/mnist`.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download the files again.
    """
    downloads = Downloads("mnist", dest_dir, dest_subdir, logger, clean_dest_dir)
    return load_idx(downloads, SOURCES, CHECKSUMS)


def load_data_directory(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> str:
    """Write all images as PNG files to one folder per digit, and return the data set folder.

    The file names start with `train` or `test`; the test images come first in a sorted listing.

    Args:
        dest_dir: A new or empty folder; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path in mltk's folder; `None` means `datasets/mnist`.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download and write the files again.
    """
    data = load_data(logger=logger, clean_dest_dir=clean_dest_dir)
    return write_class_folders("mnist", CLASSES, data, dest_dir, dest_subdir, clean_dest_dir)
