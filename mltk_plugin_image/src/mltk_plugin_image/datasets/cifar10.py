"""CIFAR-10: 60,000 photographs of 32×32 color pixels, 6,000 of each of ten objects.

- Source: Alex Krizhevsky, Vinod Nair and Geoffrey Hinton, https://www.cs.toronto.edu/~kriz/cifar.html.
- License: none stated; the authors ask to cite "Learning Multiple Layers of Features from Tiny Images".
- Size: 50,000 training and 10,000 test images; a download of 170 MB (the binary version: the one for
  Python consists of pickles, which can run code).
"""

from __future__ import annotations

import logging
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mltk.errors import DatasetError

from ._arrays import Downloads, fetch, write_class_folders

if TYPE_CHECKING:
    from ._arrays import Arrays, Subset

INPUT_SHAPE = (32, 32, 3)
"""Height, width and channels."""

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Class labels, by class id."""

SOURCES = ("https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz")
"""Folders with the file, tried in this order."""

FILE = "cifar-10-binary.tar.gz"
CHECKSUM = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
"""SHA-256 of the file; its published MD5 is c32a1d4ab5d03f1284b67883e8d87530."""

_TRAIN = tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6))
_TEST = ("cifar-10-batches-bin/test_batch.bin",)


def load_data(
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    logger: logging.Logger | None = None,
    clean_dest_dir: bool = False,
) -> Arrays:
    """Download the data set, if it is missing, and return `((x_train, y_train), (x_test, y_test))`.

    x is uint8 `(n, 32, 32, 3)`, RGB, 0 to 255; y is uint8 `(n, 1)`, the class id.

    Args:
        dest_dir: Folder for the downloaded files; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path in mltk's folder; `None` means `downloads/cifar10`.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download the files again.
    """
    downloads = Downloads("cifar10", dest_dir, dest_subdir, logger, clean_dest_dir)
    path = fetch(downloads, FILE, SOURCES, CHECKSUM)
    batches: dict[str, bytes] = {}
    try:
        # In the order of the archive: seeking back in a compressed file decompresses it again.
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                if member.isreg() and member.name in (*_TRAIN, *_TEST):
                    content = archive.extractfile(member)
                    batches[member.name] = content.read() if content else b""
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DatasetError(f"'{path}' cannot be read: {error}.") from error
    return _subset(path, batches, _TRAIN), _subset(path, batches, _TEST)


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
        dest_subdir: Path in mltk's folder; `None` means `datasets/cifar10`.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download and write the files again.
    """
    data = load_data(logger=logger, clean_dest_dir=clean_dest_dir)
    return write_class_folders("cifar10", CLASSES, data, dest_dir, dest_subdir, clean_dest_dir)


def _subset(path: Path, batches: dict[str, bytes], names: tuple[str, ...]) -> Subset:
    missing = [name for name in names if name not in batches]
    if missing:
        raise DatasetError(f"'{path}' lacks '{missing[0]}'.")
    # One byte for the class, then the red, the green and the blue pixels, row by row.
    records = np.frombuffer(b"".join(batches[name] for name in names), np.uint8)
    if records.size % 3073:
        raise DatasetError(f"'{path}' has incomplete images of 32×32 pixels.")
    records = records.reshape(-1, 3073)
    if records[:, 0].max(initial=0) >= len(CLASSES):
        raise DatasetError(f"'{path}' has a class id of {len(CLASSES)} or more.")
    x = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), records[:, :1].copy()
