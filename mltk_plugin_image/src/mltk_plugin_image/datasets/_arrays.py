"""Download, read and write data sets that are arrays."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError, DownloadError
from mltk.utils.archive_downloader import download_verify_extract, mirrored_url
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once

Subset = tuple[np.ndarray, np.ndarray]
Arrays = tuple[Subset, Subset]

_SUBSETS = ("train", "test")
_MAX_IDX = 1 << 30


def fetch(dataset: str, name: str, sources: Sequence[str], file_hash: str) -> Path:
    """Download one file of a data set, if it is missing, and return its path.

    Args:
        dataset: Name of the data set, and of its folder of downloads and on a mirror.
        name: Name of the file.
        sources: URLs of folders with the file, tried in this order.
        file_hash: Its checksum.
    """
    folder = cache_dir() / "downloads" / dataset
    failures: list[str] = []
    # With a mirror, all sources are the same.
    for url in dict.fromkeys(mirrored_url(f"{source}/{name}", dataset) for source in sources):
        try:
            path = download_verify_extract(
                url, download_dir=folder, file_hash=file_hash, extract=False, show_progress=True
            )
        except DownloadError as error:
            failures.append(str(error))
        else:
            return Path(path)
    raise DownloadError(" ".join(failures))


def load_idx(dataset: str, sources: Sequence[str], checksums: Mapping[str, str]) -> Arrays:
    """Download and read the four files of a data set in the format of MNIST.

    Args:
        dataset: Name of the data set.
        sources: URLs of folders with the files.
        checksums: File name to checksum: training images and labels, test images and labels.
    """
    arrays = [read_idx(fetch(dataset, name, sources, digest)) for name, digest in checksums.items()]
    x_train, y_train, x_test, y_test = arrays
    return (x_train, y_train), (x_test, y_test)


def read_idx(path: Path) -> np.ndarray:
    """Read a gzip-compressed file in the IDX format with unsigned bytes.

    Raises:
        DatasetError: The file is damaged or of another kind.
    """
    try:
        with gzip.open(path) as file:
            start = file.read(4)
            if len(start) != 4 or start[:3] != b"\0\0\x08":
                raise DatasetError(f"'{path}' is not an IDX file of unsigned bytes.")
            shape = tuple(int.from_bytes(file.read(4), "big") for _ in range(start[3]))
            size = math.prod(shape)
            # read() allocates the announced size first.
            data = file.read(size + 1) if size <= _MAX_IDX else b""
    except (OSError, EOFError) as error:
        raise DatasetError(f"'{path}' cannot be read: {error}.") from error
    if len(data) != size:
        raise DatasetError(f"'{path}' does not have the {size:,} values that its header announces.")
    return np.frombuffer(data, np.uint8).reshape(shape)


def write_class_folders(
    dataset: str, classes: Sequence[str], data: Arrays, dest_dir: str | os.PathLike[str] | None
) -> str:
    """Write images as `<folder>/<class>/<train or test>-<number>.png`, if they are missing.

    The files of the test part come first in a sorted listing.

    Args:
        dataset: Name of the data set, and of the folder below `datasets` in mltk's folder.
        classes: Class labels, by class id.
        data: `((x_train, y_train), (x_test, y_test))`; x uint8 `(n, height, width[, channels])`.
        dest_dir: The folder to write; `None` means the folder of the data set's name.

    Returns:
        The folder.

    Raises:
        DatasetError: `dest_dir` has other files.
    """
    from PIL import Image

    def write(folder: Path) -> None:
        for label in classes:
            (folder / label).mkdir()
        for subset, (x, y) in zip(_SUBSETS, data, strict=True):
            digits = len(str(len(x)))
            for i, (image, class_id) in enumerate(zip(x, y.reshape(-1), strict=True)):
                pixels = image.squeeze(-1) if image.shape[-1:] == (1,) else image
                name = f"{subset}-{i:0{digits}}.png"
                Image.fromarray(pixels).save(folder / classes[int(class_id)] / name)

    content = {"dataset": dataset, "images": [len(x) for x, _ in data]}
    return write_folder_once(dest_dir or cache_dir() / "datasets" / dataset, content, write)
