"""Recordings in files, cut into windows that are read by their number."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mltk.data import FileReport, FileSamples, Finding, Range
from mltk.errors import DatasetError
from mltk_plugin_timeseries._files import ReadingRules, Recording, read_recording

SHORT_RECORDINGS = (None, "pad", "skip", "refuse")
"""What to do with recordings that are shorter than a window; `None` pads, with a warning."""

_PADDED = Finding(
    "Recordings shorter than a window, continued with their last row",
    "Set short_recordings='pad' to do so without a warning, 'skip' to leave them out, or shorten the window.",
)
_SKIPPED = Finding("Recordings shorter than a window, left out")

_RATE_TOLERANCE = 0.02


@dataclass(frozen=True)
class Windowing:
    """How a recording is cut."""

    length: int
    """Rows of a window."""
    overlap: float = 0.0
    """Part of a window that the next one repeats."""
    short: str | None = None
    """One of `SHORT_RECORDINGS`."""

    @property
    def step(self) -> int:
        """Rows from the start of a window to that of the next one."""
        return max(1, round(self.length * (1 - self.overlap)))

    def starts(self, rows: int) -> np.ndarray:
        """Return the first row of each window of a recording: int64 `(n,)`."""
        if rows < self.length:
            return np.zeros(int(self.short in (None, "pad")), np.int64)
        return np.arange(0, rows - self.length + 1, self.step)

    def cut(self, values: np.ndarray, start: int) -> np.ndarray:
        """Return one window, `(length, channels)`."""
        window = values[start : start + self.length]
        if len(window) < self.length:
            window = np.pad(window, ((0, self.length - len(window)), (0, 0)), mode="edge")
        return window


class FileWindows:
    """Windows of recordings in files; the recordings stay in memory as far as there is room.

    All files are read once, to know how many windows they have.

    Args:
        root: Folder that the names are relative to.
        files: Paths of the files.
        windowing: How to cut them.
        rules: How to read them.
        cache_bytes: Memory for recordings.
        part: First and last fraction of each recording to use; `None` for all of it.

    Raises:
        DatasetError: A file cannot be read, the rules refuse it, or its channels or rate are not those of the first.
    """

    def __init__(
        self,
        root: str,
        files: Sequence[str],
        windowing: Windowing,
        rules: ReadingRules,
        cache_bytes: int = 0,
        part: Range | None = None,
    ) -> None:
        self.windowing = windowing
        self.channels: tuple[str, ...] = ()
        """Names of the channels."""
        self.rate: float | None = None
        """Rows per second of the windows, if it is known."""
        self._rated = ""
        self._rules = rules
        self._part = part
        self._recordings = FileSamples(root, files)
        self._paths = files
        self._room = cache_bytes
        self._cache: dict[int, np.ndarray] = {}
        # The windows of one recording are often read one after the other.
        self._last: tuple[int, np.ndarray] = (-1, np.empty((0, 0), np.float32))
        self._lock = threading.Lock()
        self.file_ids, self.starts = self._find_windows()
        """File of each window, and its first row there: int64 `(n,)`."""
        self.files, self.names = self._name_windows()

    def _find_windows(self) -> tuple[np.ndarray, np.ndarray]:
        starts: list[np.ndarray] = []
        for i in range(len(self._paths)):
            recording = self._recordings.load(i, self._read_first)
            self._check_like_first(i, recording)
            found = self.windowing.starts(len(recording.values))
            if len(recording.values) < self.windowing.length and self.windowing.short == "refuse":
                raise DatasetError(
                    f"The recording '{self._recordings.path(i)}' has {len(recording.values)} rows, fewer than a "
                    f"window ({self.windowing.length})."
                )
            starts.append(found)
            self._keep(i, recording.values)
        counts = [len(found) for found in starts]
        return np.repeat(np.arange(len(counts)), counts), np.concatenate([np.empty(0, np.int64), *starts])

    def _read_first(self, path: str, name: str, report: FileReport) -> Recording:
        recording = self._read_part(path, name, report)
        if len(recording.values) < self.windowing.length:
            if self.windowing.short == "skip":
                report.add(_SKIPPED, name)
            elif self.windowing.short is None:
                report.add(_PADDED, name)
        return recording

    def _check_like_first(self, index: int, recording: Recording) -> None:
        if index == 0:
            self.channels = recording.channels
            # The columns of other files may be in another order.
            if self._rules.channels is None:
                self._rules = ReadingRules(
                    recording.channels, self._rules.time_column, self._rules.time_unit, self._rules.resampling
                )
        if self.rate is None:
            # A recording of one row has no rate of its own.
            self.rate, self._rated = recording.rate, self._paths[index]
        elif recording.rate is not None and abs(recording.rate / self.rate - 1) > _RATE_TOLERANCE:
            raise DatasetError(
                f"The recording '{self._recordings.path(index)}' has {recording.rate:.4g} rows per second, and "
                f"'{self._rated}' has {self.rate:.4g}: set sample_rate to resample them."
            )

    def _keep(self, index: int, values: np.ndarray) -> None:
        with self._lock:
            self._last = (index, values)
            if values.nbytes <= self._room and index not in self._cache:
                self._room -= values.nbytes
                self._cache[index] = values

    def _load(self, index: int) -> np.ndarray:
        values = self._cache.get(index)
        if values is not None:
            return values
        last, values = self._last
        if last != index:
            values = self._recordings.load(index, self._read_again)
            self._keep(index, values)
        return values

    def _read_again(self, path: str, name: str, report: FileReport) -> np.ndarray:
        return self._read_part(path, name, report).values

    def _read_part(self, path: str, name: str, report: FileReport) -> Recording:
        recording = read_recording(path, self._rules, report, name)
        if self._part is None:
            return recording
        first, last = (math.ceil(fraction * len(recording.values)) for fraction in self._part)
        return recording._replace(values=recording.values[first:last])

    def select(self, rows: np.ndarray) -> None:
        """Keep only some of the windows.

        Args:
            rows: Their numbers.
        """
        self.file_ids, self.starts = self.file_ids[rows], self.starts[rows]
        self.files, self.names = self._name_windows()

    def _name_windows(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the file of each window, and a name: the file, with the first row if it is not 0."""
        files = [self._paths[i] for i in self.file_ids.tolist()]
        return files, [
            f"{file} from row {start}" if start else file
            for file, start in zip(files, self.starts.tolist(), strict=True)
        ]

    def recordings(self) -> Iterator[np.ndarray]:
        """Yield what the windows cover of each recording, `(rows, channels)`: each row once."""
        for index in np.unique(self.file_ids).tolist():
            end = int(self.starts[self.file_ids == index].max()) + self.windowing.length
            yield self._load(index)[:end]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return windows, float32 `(n, length, channels)`, that the caller may overwrite."""
        batch = np.empty((len(indices), self.windowing.length, len(self.channels)), np.float32)
        for row, index in enumerate(indices.tolist()):
            batch[row] = self.windowing.cut(self._load(int(self.file_ids[index])), int(self.starts[index]))
        return batch

    def path(self, index: int) -> str:
        """Return the path of the file of a window."""
        return self._recordings.path(int(self.file_ids[index]))

    def close_report(self) -> None:
        """Give the warnings about the files."""
        self._recordings.close_report()

    def fingerprint(self) -> str:
        """Return a hex digest of the names and sizes of the files, and of how they are cut."""
        content = (
            f"{self._recordings.fingerprint()} {self.windowing} {self._part} {self._rules} {len(self.starts)}"
        )
        return hashlib.sha256(content.encode()).hexdigest()


class ArrayWindows:
    """Windows in memory.

    Args:
        windows: `(n, rows, channels)`.
    """

    def __init__(self, windows: np.ndarray) -> None:
        self._windows = windows
        self.names = self.files = [f"sample {i}" for i in range(len(windows))]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return windows, float32 `(n, rows, channels)`, that the caller may overwrite."""
        return np.array(self._windows[indices], np.float32)

    def recordings(self) -> Iterator[np.ndarray]:
        """Yield the windows, `(rows, channels)`."""
        yield from self._windows

    def close_report(self) -> None:
        """Do nothing: there are no files."""

    def path(self, index: int) -> str:
        """Return an empty string: there are no files."""
        return ""

    def fingerprint(self) -> str:
        """Return a hex digest of the values."""
        windows = np.ascontiguousarray(self._windows)
        digest = hashlib.sha256(f"{windows.shape} {windows.dtype}".encode())
        digest.update(windows.data)
        return digest.hexdigest()
