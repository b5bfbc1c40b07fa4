"""Tell the user what was found in the files of a data set: one line for each kind, with names and advice."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

logger = logging.getLogger("mltk.data")

_SHOWN = 3

_given: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Finding:
    """A kind of files that can be read, but perhaps not as they are meant."""

    description: str
    """Noun phrase in the plural, e.g. `Recordings that are silent`."""
    advice: str = ""
    """What to set or to do, as one or two sentences."""


class FileReport:
    """Findings in the files of one data set, given as one warning for each kind when all files have been read once.

    Threads may share it.

    Args:
        count: Number of files.
        source: The folder; a line is given once for each folder in a process.
    """

    def __init__(self, count: int, source: str = "") -> None:
        self._count = count
        self._source = source
        self._names: dict[Finding, dict[str, None]] = {}
        self._read: set[int] = set()
        self._closed = False
        self._lock = threading.Lock()

    def add(self, finding: Finding, name: str) -> None:
        """Note that a file is of this kind."""
        with self._lock:
            if not self._closed:
                self._names.setdefault(finding, {})[name] = None

    def count_read(self, index: int) -> None:
        """Note that file number `index` has been read; the last one gives the warnings."""
        if self._closed:
            return
        with self._lock:
            self._read.add(index)
            complete = len(self._read) == self._count
        if complete:
            self.close()

    @property
    def is_closed(self) -> bool:
        """Whether the warnings have been given, so that nothing more need be looked for."""
        return self._closed

    def has_read(self, index: int) -> bool:
        """Return whether file number `index` has been read."""
        return index in self._read

    def close(self) -> None:
        """Give the warnings for the files that have been read so far; later findings are ignored."""
        with self._lock:
            found, self._names = self._names, {}
            done, self._closed = self._closed, True
        if not done:
            for finding, names in sorted(found.items(), key=lambda item: item[0].description):
                of = f" of {len(self._read):,} files" if len(self._read) > 1 else ""
                advice = f" {finding.advice}" if finding.advice else ""
                warn_once(
                    self._source,
                    f"{finding.description}: {list_names(sorted(names))} ({len(names):,}{of}).{advice}",
                )


def warn_once(source: str, message: str) -> None:
    """Log a warning about a data set, unless this process has logged it for the same data set before."""
    if (source, message) not in _given:
        _given.add((source, message))
        logger.warning(message)


def list_names(names: Sequence[str]) -> str:
    """Return the first three names in quotes, and how many there are besides them."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
