"""Download, read and write data sets that are arrays."""

from __future__ import annotations

import gzip
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError, DownloadError
from mltk.utils.archive_downloader import download_verify_extract, mirrored_url
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk.utils.path import fullpath

Subset = tuple[np.ndarray, np.ndarray]
Arrays = tuple[Subset, Subset]

_SUBSETS = ("train", "test")
_MAX_IDX = 1 << 30


@dataclass(frozen=True)
class Downloads:
    """Where the files of a data set go.

    Args:
        dataset: Name of the data set on a mirror, and of its folder in `downloads` of mltk's folder.
        dest_dir: Folder for the files; `None` means `dest_subdir` in mltk's folder, or the folder of downloads.
        dest_subdir: Path in mltk's folder.
        logger: Receives messages; `None` means the logger of mltk.
        clean_dest_dir: Download the files again.
    """

    dataset: str
    dest_dir: str | os.PathLike[str] | None = None
    dest_subdir: str | None = None
    logger: logging.Logger | None = None
    clean_dest_dir: bool = False

    @property
    def folder(self) -> Path:
        """The folder."""
        if self.dest_dir is not None:
            return Path(fullpath(self.dest_dir))
        return cache_dir() / (self.dest_subdir or f"downloads/{self.dataset}")


def fetch(downloads: Downloads, name: str, sources: Sequence[str], file_hash: str) -> Path:
    """Download one file of a data set, if it is missing, and return its path.

    Args:
        downloads: Where it goes.
        name: Name of the file.
        sources: URLs of folders with the file, tried in this order.
        file_hash: Its checksum.
    """
    if downloads.clean_dest_dir:
        (downloads.folder / name).unlink(missing_ok=True)
    failures: list[str] = []
    # With a mirror, all sources are the same.
    for url in dict.fromkeys(mirrored_url(f"{source}/{name}", downloads.dataset) for source in sources):
        try:
            path = download_verify_extract(
                url,
                download_dir=downloads.folder,
                file_hash=file_hash,
                extract=False,
                show_progress=True,
                logger=downloads.logger,
            )
        except DownloadError as error:
            failures.append(str(error))
        else:
            return Path(path)
    raise DownloadError(" ".join(failures))


def load_idx(downloads: Downloads, sources: Sequence[str], checksums: Mapping[str, str]) -> Arrays:
    """Download and read the four files of a data set in the format of MNIST.

    Args:
        downloads: Where they go.
        sources: URLs of folders with the files.
        checksums: File name to checksum: training images and labels, test images and labels.
    """
    arrays = [read_idx(fetch(downloads, name, sources, digest)) for name, digest in checksums.items()]
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
    dataset: str,
    classes: Sequence[str],
    data: Arrays,
    dest_dir: str | os.PathLike[str] | None,
    dest_subdir: str | None = None,
    clean_dest_dir: bool = False,
) -> str:
    """Write images as `<folder>/<class>/<train or test>-<number>.png`, if they are missing.

    The files of the test part come first in a sorted listing.

    Args:
        dataset: Name of the data set.
        classes: Class labels, by class id.
        data: `((x_train, y_train), (x_test, y_test))`; x uint8 `(n, height, width[, channels])`.
        dest_dir: The folder to write; `None` means `dest_subdir` in mltk's folder.
        dest_subdir: Path in mltk's folder; `None` means `datasets/<dataset>`.
        clean_dest_dir: Write the files again.

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
    folder = dest_dir or cache_dir() / (dest_subdir or f"datasets/{dataset}")
    return write_folder_once(folder, content, write, again=clean_dest_dir)
