"""`RecordingTable`: a data set in one table, with columns for the label and, if there are any, group and time."""

from __future__ import annotations

import csv
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from mltk.errors import DatasetError, did_you_mean
from mltk.utils.files import cache_dir
from mltk.utils.folders import write_folder_once
from mltk.utils.hasher import generate_hash
from mltk_plugin_timeseries._files import MISSING, parse_cell, split_rows

_UNUSABLE = re.compile(r"^[._~]|[/\\:\0]")
"""What a label or a group must not have to be part of a path."""


@dataclass(frozen=True)
class RecordingTable:
    """A data set in one CSV or Parquet file: `my_model.dataset = RecordingTable("motion.csv", label="activity")`.

    Successive rows of one label and one group are a recording; rows without a label are left out. `load_data` writes
    the recordings as `<label>/<group>_<number>.npz` to mltk's cache folder, which is then the data set:
    `my_model.group_by = RecordingTable.GROUPS` keeps groups together.
    """

    GROUPS = r"/([^/]*)_\d+\.npz$"
    """Value of `my_model.group_by` for the groups of the table."""

    path: str
    """The file: `.csv` with a header, or `.parquet`, which needs pyarrow."""
    label: str
    """Column with the class."""
    group: str | None = None
    """Column with the person, device or day."""
    time: str | None = None
    """Column with times: numbers, or dates in ISO 8601, which become seconds. A recording ends where they decrease."""
    channels: Sequence[str] | None = None
    """Columns with the values; `None`: all others."""
    gap: float | None = None
    """A longer interval, in the unit of the times, begins a new recording; `None` for none."""

    def load_data(self) -> str:
        """Write the recordings to a folder with a folder for each class, unless already done, and return it.

        Raises:
            DatasetError: The table cannot be read (Parquet needs pyarrow), a column is missing, or a label is not
                usable as a folder's name.
        """
        path = Path(self.path).expanduser()
        try:
            status = path.stat()
        except OSError as e:
            raise DatasetError(f"The table '{path}' cannot be read: {e.strerror}.") from e
        content = {**asdict(self), "size": status.st_size, "changed": status.st_mtime_ns, "version": 1}
        folder = cache_dir() / "datasets" / f"{path.stem}-{generate_hash(str(sorted(content.items())))[:8]}"
        return write_folder_once(folder, content, self._write)

    def _write(self, folder: Path) -> None:
        columns = self._read()
        counts: Counter[str] = Counter()
        for start, stop in self._find_recordings(columns):
            label = _check_name("label", columns[self.label][start])
            group = "" if self.group is None else _check_name("group", columns[self.group][start])
            number = counts[f"{label}/{group}"]
            counts[f"{label}/{group}"] += 1
            target = folder / label / f"{group or 'recording'}_{number}.npz"
            target.parent.mkdir(parents=True, exist_ok=True)
            _save(target, {name: columns[name][start:stop] for name in self._numeric(list(columns))})
        if not counts:
            raise DatasetError(f"The table '{self.path}' has no row with a label.")

    def _numeric(self, names: Sequence[str]) -> list[str]:
        """Return the columns to write: the times and the channels."""
        own = {self.label, self.group, self.time}
        channels = [n for n in names if n not in own] if self.channels is None else list(self.channels)
        return channels if self.time is None else [self.time, *channels]

    def _read(self) -> dict[str, np.ndarray]:
        """Return the columns that are needed: text for label and group, float64 for the others."""
        path = Path(self.path).expanduser()
        table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)
        texts = [name for name in (self.label, self.group) if name is not None]
        numbers = self._numeric(list(table))
        for name in [*texts, *numbers]:
            if name not in table:
                raise DatasetError(
                    f"The table '{path}' has no column '{name}'.{did_you_mean(name, list(table))} "
                    f"Columns: {', '.join(table)}."
                )
        columns = {name: np.array([_as_text(cell) for cell in table[name]]) for name in texts}
        return columns | {name: self._convert(name, table[name]) for name in numbers}

    def _convert(self, name: str, cells: Sequence[object]) -> np.ndarray:
        values = np.empty(len(cells))
        for row, cell in enumerate(cells):
            try:
                values[row] = parse_cell(_as_text(cell), dates=name == self.time)
            except ValueError:
                raise DatasetError(
                    f"The table '{self.path}', row {row + 1} of column '{name}': '{cell}' is not a number. "
                    f"Name the columns to read with channels."
                ) from None
        return values

    def _find_recordings(self, columns: Mapping[str, np.ndarray]) -> Iterator[tuple[int, int]]:
        """Yield the first row of each recording, and the row after its last."""
        label = columns[self.label]
        breaks = label[1:] != label[:-1]
        if self.group is not None:
            breaks |= columns[self.group][1:] != columns[self.group][:-1]
        if self.time is not None:
            intervals = np.diff(columns[self.time])
            breaks |= intervals < 0
            if self.gap is not None:
                breaks |= intervals > self.gap
        bounds = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(label)]
        for start, stop in pairwise(bounds):
            if stop > start and label[start].lower() not in MISSING:
                yield start, stop


def _read_text(path: Path) -> dict[str, list[object]]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        if not lines:
            raise DatasetError(f"The table '{path}' is empty.")
        delimiter = max(",;\t", key=lines[0].count)
        header, *rows = split_rows(lines, delimiter)
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise DatasetError(f"The table '{path}' cannot be read: {e}.") from e
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise DatasetError(
                f"The table '{path}', row {number + 2}, has {len(row)} cells instead of {len(header)}."
            )
    return {name.strip(): [row[i] for row in rows] for i, name in enumerate(header)}


def _read_parquet(path: Path) -> dict[str, list[object]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise DatasetError(
            "Parquet files need pyarrow: pip install 'mltk-plugin-timeseries[parquet]'."
        ) from None
    try:
        return dict(parquet.read_table(path).to_pydict())
    except (OSError, pyarrow.ArrowException) as e:
        raise DatasetError(f"The table '{path}' cannot be read: {e}.") from e


def _save(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write an `.npz`; unlike `numpy.savez`, with columns of any name, such as `file`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, column in columns.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, column, allow_pickle=False)


def _as_text(cell: object) -> str:
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    return "" if cell is None else str(cell).strip()


def _check_name(kind: str, name: str) -> str:
    if _UNUSABLE.search(name):
        raise DatasetError(f"The {kind} '{name}' of the table cannot be a part of a path: rename it.")
    return name
