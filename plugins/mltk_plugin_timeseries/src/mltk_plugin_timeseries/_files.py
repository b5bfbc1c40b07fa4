"""Read recordings of sensors: CSV, `.npy` and `.npz` files."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from mltk.data import FileReport, Finding
from mltk.errors import DatasetError, did_you_mean
from mltk_plugin_timeseries._resampling import ResamplingRules

FILE_FORMATS = (".csv", ".npy", ".npz")
"""Endings of the files that can be read."""

TIME_NAMES = ("time", "timestamp", "time_s", "time_ms", "t", "seconds", "date", "datetime")
"""Names of columns that are probably times."""

_TIMES_AS_CHANNEL = Finding(
    "Recordings with a column that seems to be times, and is read as a channel",
    "Set time_column to its name, or channels to those to read.",
)

MISSING = {"", "nan", "na", "n/a", "null", "none"}


class Table(NamedTuple):
    """Columns of a file, before anything is done to them."""

    names: list[str]
    """Name of each column: its number, counted from 0, if the file has no names."""
    values: np.ndarray
    """float64 `(rows, columns)`; NaN where a value is missing."""
    has_dates: bool = False
    """The time column holds dates, which became seconds."""
    unreadable: Mapping[str, str] = MappingProxyType({})
    """Columns that hold something else than numbers, with the first place."""


class Recording(NamedTuple):
    """One recording."""

    values: np.ndarray
    """float32 `(rows, channels)`, without missing values, at regular times."""
    channels: tuple[str, ...]
    """Names of the channels."""
    rate: float | None
    """Rows per second, if it is known."""


@dataclass(frozen=True)
class ReadingRules:
    """How to read recordings."""

    channels: tuple[str, ...] | None = None
    """Names of the columns to read, in this order; `None` reads all."""
    time_column: str | None = None
    """Name of the column with times."""
    time_unit: float = 1.0
    """Seconds of one unit of it."""
    resampling: ResamplingRules = field(default_factory=ResamplingRules)


def read_recording(
    path: str | Path, rules: ReadingRules, report: FileReport | None = None, name: str = ""
) -> Recording:
    """Read a recording.

    Args:
        path: A file with one of the `FILE_FORMATS`.
        rules: What to read, and how.
        report: Receives what is unusual, under `name`.
        name: Name of the file in the report.

    Raises:
        DatasetError: The file cannot be read, or the rules refuse it.
    """
    table = read_table(path, rules.time_column)
    times = None
    if rules.time_column is not None:
        times = _select(table, [rules.time_column], path)[:, 0] * (
            1.0 if table.has_dates else rules.time_unit
        )
    channels = rules.channels or tuple(n for n in table.names if n != rules.time_column)
    has_times = not set(TIME_NAMES).isdisjoint(channel.lower() for channel in channels)
    if report is not None and rules.time_column is None and has_times:
        report.add(_TIMES_AS_CHANNEL, name)
    values = _select(table, channels, path)
    try:
        resampled = rules.resampling.apply(values, times)
    except DatasetError as e:
        raise DatasetError(f"The recording '{path}' {e}.") from None
    return Recording(resampled.values, channels, resampled.rate)


def read_table(path: str | Path, time_column: str | None = None) -> Table:
    """Read the columns of a file.

    Args:
        path: A file with one of the `FILE_FORMATS`.
        time_column: Column that may hold dates in ISO 8601, which become seconds.

    Raises:
        DatasetError: The file cannot be read, or has no rows.
    """
    ending = Path(path).suffix.lower()
    try:
        table = _read_csv(path, time_column) if ending == ".csv" else _read_arrays(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise DatasetError(f"The recording '{path}' cannot be read: {reason}") from e
    if not len(table.values) or not table.names:
        raise DatasetError(f"The recording '{path}' has no rows.")
    return table


def _select(table: Table, names: Sequence[str], path: str | Path) -> np.ndarray:
    for name in names:
        if name not in table.names:
            raise DatasetError(
                f"The recording '{path}' has no column '{name}'.{did_you_mean(name, table.names)} "
                f"Columns: {', '.join(table.names)}."
            )
        if name in table.unreadable:
            raise DatasetError(
                f"The recording '{path}' cannot be read: {table.unreadable[name]} Leave out such columns with channels."
            )
    return table.values[:, [table.names.index(name) for name in names]]


def _read_csv(path: str | Path, time_column: str | None) -> Table:
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        lines = file.read().splitlines()
    lines = [line for line in lines if line.strip()]
    if not lines:
        return Table([], np.empty((0, 0)))
    delimiter = max(",;\t", key=lines[0].count)
    first = [cell.strip() for cell in next(split_rows(lines[:1], delimiter))]
    has_header = not all(_is_number(cell) or cell.lower() in MISSING for cell in first)
    names = first if has_header else [str(i) for i in range(len(first))]
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have the name '{max(names, key=names.count)}'.")
    rows = lines[has_header:]
    try:
        values = np.loadtxt(rows, delimiter=delimiter, ndmin=2, comments=None) if rows else np.empty((0, 1))
        if rows and values.shape[1] != len(names):
            raise ValueError
    except ValueError:
        # Missing values, dates, text, quotes or decimal commas; or an error that is to be named.
        return _parse_rows(rows, names, delimiter, time_column, first_row=1 + has_header)
    return Table(names, values)


def _parse_rows(
    rows: Sequence[str], names: list[str], delimiter: str, time_column: str | None, first_row: int
) -> Table:
    values, has_dates = np.full((len(rows), len(names)), np.nan), False
    unreadable: dict[str, str] = {}
    is_time = [name == time_column or name.lower() in TIME_NAMES for name in names]
    for i, cells in enumerate(split_rows(rows, delimiter)):
        if len(cells) != len(names):
            raise ValueError(f"row {i + first_row} has {len(cells)} cells instead of {len(names)}.")
        for j, cell in enumerate(cells):
            text = cell.strip()
            if delimiter == ";":
                text = text.replace(",", ".")
            try:
                values[i, j] = parse_cell(text, is_time[j])
            except ValueError:
                place = f"row {i + first_row}, column '{names[j]}': '{text}' is not a number."
                unreadable.setdefault(names[j], place)
                continue
            has_dates |= is_time[j] and not _is_number(text) and text.lower() not in MISSING
    return Table(names, values, has_dates, unreadable)


def split_rows(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each line."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def parse_cell(text: str, dates: bool) -> float:
    """Return the number in a cell, NaN for a missing one, or the seconds of a date in ISO 8601 (UTC).

    Args:
        text: The cell, without spaces around it.
        dates: Accept dates.

    Raises:
        ValueError: It is neither.
    """
    if text.lower() in MISSING:
        return float("nan")
    if dates and not _is_number(text):
        return float(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64)) * 1e-9
    return float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_arrays(path: str | Path) -> Table:
    """Read one array `(rows,)` or `(rows, columns)`, or an array `(rows,)` for each column."""
    with Path(path).open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _as_table("", loaded)
        tables = [_as_table(name, loaded[name]) for name in loaded.files]
    if len(tables) == 1:
        names = tables[0].names
        return tables[0] if len(names) == 1 else Table([str(i) for i in range(len(names))], tables[0].values)
    lengths = {len(table.values) for table in tables}
    if len(lengths) > 1:
        shapes = ", ".join(f"{t.names[0].partition('.')[0]}: {len(t.values)}" for t in tables)
        raise ValueError(f"its arrays differ in length ({shapes}); a file is one recording.")
    if not tables:
        return Table([], np.empty((0, 0)))
    return Table(
        [name for table in tables for name in table.names],
        np.concatenate([table.values for table in tables], axis=1),
    )


def _as_table(name: str, array: np.ndarray) -> Table:
    if array.dtype.kind not in "iufb" or array.ndim not in (1, 2):
        raise ValueError(
            f"an array of type {array.dtype} and shape {array.shape} is not (rows,) or (rows, channels) of numbers."
        )
    values = array.astype(np.float64).reshape(len(array), -1)
    if array.ndim == 1 and name:
        return Table([name], values)
    prefix = f"{name}." if name else ""
    return Table([f"{prefix}{i}" for i in range(values.shape[1])], values)
