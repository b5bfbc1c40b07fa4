"""The files of a data set: paths, identity, and reading with a report of what is unusual."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from mltk.data.findings import FileReport, list_names
from mltk.errors import DatasetError

T = TypeVar("T")

_SEARCH_SECONDS = 5.0
"""Time to look for further unusable files when one is found."""


class FileSamples:
    """Samples in files; a subclass reads them.

    Args:
        root: Folder that the names are relative to.
        names: Path of each file; `None` for a sample without a file.
        missing: Name of samples without a file.
    """

    def __init__(self, root: str, names: Sequence[str | None], missing: str = "") -> None:
        self.names: Sequence[str] = [missing if name is None else name for name in names]
        self.files: Sequence[str] = [name or "" for name in names]
        self._root = root
        self._report = FileReport(sum(map(bool, self.files)), root)
        self._others: list[str] | None = None
        self._others_lock = threading.Lock()

    def load(self, index: int, read: Callable[[str, str, FileReport], T]) -> T:
        """Read a file; if it is not usable, name the others that are not, too.

        Args:
            index: Number of the file.
            read: Function `f(path, name, report)`; it adds what is unusual to the report, under `name`.

        Raises:
            DatasetError: `read` raised it; the message is extended.
        """
        try:
            result = read(self.path(index), self.files[index], self._report)
        except DatasetError as e:
            others = [name for name in self._find_unusable(read) if name != self.files[index]]
            if not others:
                raise
            raise DatasetError(f"{e} Other files are not usable either: {list_names(others)}.") from e
        self._report.count_read(index)
        return result

    def close_report(self) -> None:
        """Give the warnings about the files that have been read."""
        self._report.close()

    def _find_unusable(self, read: Callable[[str, str, FileReport], T]) -> list[str]:
        """Return the names of unusable files among those that have not been read yet, as far as time allows."""
        with self._others_lock:
            if self._others is None:
                self._others = []
                end = time.monotonic() + _SEARCH_SECONDS
                for index, name in enumerate(self.files):
                    if time.monotonic() > end:
                        break
                    if name and not self._report.has_read(index):
                        try:
                            read(self.path(index), name, FileReport(0))
                        except DatasetError:
                            self._others.append(name)
            return self._others

    def path(self, index: int) -> str:
        """Return the path of a file; empty for a sample without a file."""
        file = self.files[index]
        return os.path.join(self._root, file) if file else ""  # noqa: PTH118 (pathlib is too slow here)

    def fingerprint(self) -> str:
        """Return a hex digest of the names and sizes of all files, in any order."""
        digest = hashlib.sha256()
        names = np.array([file or name for file, name in zip(self.files, self.names, strict=True)])
        for index in np.argsort(names):
            size = Path(self.path(index)).stat().st_size if self.files[index] else 0
            digest.update(f"{names[index]}\0{size}\n".encode())
        return digest.hexdigest()
