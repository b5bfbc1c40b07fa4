"""Model specifications that `mltk new` writes for recordings of sensors."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np

from mltk.data import FolderLayout, PartsDraft, describe_parts, read_layout
from mltk.errors import DatasetError
from mltk.plugins import Draft, DraftRequest
from mltk_plugin_timeseries._files import FILE_FORMATS, TIME_NAMES, Table, read_table
from mltk_plugin_timeseries._resampling import JITTER

_FEW = 200
"""Data sets with fewer recordings are trained for fewer steps."""

_FEWEST = 5
"""Classes with fewer recordings have too few to hold some back."""

_LONGEST_WHOLE = 1024
"""Longer recordings are cut into windows."""

_SECONDS = 2.56
"""Length of these windows, if the rate is known: some steps or strokes of a person, some turns of a machine."""


class _Times(NamedTuple):
    """The time column."""

    name: str
    unit: float
    """Seconds of one unit."""
    rate: float
    """Median of the rows per second."""
    is_irregular: bool
    rates_differ: bool


@dataclass(frozen=True)
class _Window:
    """How recordings are cut."""

    rows: int
    overlap: float
    reason: str
    pads: bool = False


def draft_classifier(request: DraftRequest) -> Draft | None:
    """Return the specification of a classifier; `None` if there are no two classes of recordings."""
    layout = read_layout(request.data, FILE_FORMATS)
    if layout is None or len(layout.files) < 2:
        return None
    tables = read_some(layout.sample(100))
    if max(len(table.names) for table in tables) > 64:
        return None  # Pictures or spectrograms.
    times = find_times(tables)
    channels = find_channels(tables, times)
    if not channels:
        return None
    is_few = min(map(len, layout.files.values())) < _FEWEST
    window = choose_window([_count_rows(table, times) for table in tables], times, is_few)
    parts = describe_parts(layout)
    splits = _splits_recordings(layout, window, parts, is_few)
    summary = (
        parts.summary.replace("a fifth of the files", "the first fifth of each") if splits else parts.summary
    )
    steps = 600 if layout.count < _FEW else 2000
    values = {
        "name": request.name,
        "title": f"Sensor recordings of {len(layout.files)} classes.",
        "about": f"Written by `mltk new` for {layout.count:,} training recordings. {summary}",
        "description": f"{len(layout.files)} classes of {len(channels)}-channel time series, int8",
        "dataset": request.dataset,
        "classes": layout.classes,
        "window_reason": window.reason,
        "input_shape": (window.rows, len(channels)),
        "parts": _append(parts.code.splitlines(), indent=""),
        "reading": _append(describe_reading(tables, channels, times, window)),
        "augmentation": _append(describe_rotation(channels)),
        "validation_split": parts.validation_split,
        "split": _append(
            [
                "# Few files: the start of each is held back. New people or devices may be harder.",
                "split_recordings=True,",
            ]
            if splits
            else []
        ),
        "training_reason": f"{steps} steps; the last weights are used, as the learning rate ends at 0.",
        "epochs": steps // 25,
        **_describe_head(window),
        "stem_strides": 1 if window.rows < 64 else 2,
        "first_strides": 1 if window.rows < 256 else 2,
    }
    findings = [_describe_data(layout, channels, times, window), summary]
    return Draft(_template("timeseries").substitute(values), findings, suitability=0.7)


def _splits_recordings(layout: FolderLayout, window: _Window, parts: PartsDraft, is_few: bool) -> bool:
    """Return whether recordings are too few to hold some back, and long enough to be divided."""
    return bool(parts.validation_split and window.overlap and is_few and not layout.group_pattern)


def read_some(paths: Sequence[Path]) -> list[Table]:
    """Return the recordings that can be read.

    Raises:
        DatasetError: None can be read; the reason is that of the first.
    """
    tables, reason = [], None
    for path in paths:
        try:
            tables.append(read_table(path))
        except DatasetError as e:
            reason = reason or e
    if not tables:
        raise reason or DatasetError("There is no recording to look at.")
    return tables


def find_channels(tables: Sequence[Table], times: _Times | None) -> list[str]:
    """Return the columns with values: without times, text, and numbers of the rows."""
    names = [name for name in tables[0].names if times is None or name != times.name]
    return [name for name in names if not any(_is_label(table, name) for table in tables)]


def _is_label(table: Table, name: str) -> bool:
    """Return whether a column is absent, holds text, or counts rows."""
    if name not in table.names or name in table.unreadable:
        return True
    column = table.values[:, table.names.index(name)]
    return (
        len(column) > 2 and name.lower() in ("", "index", "unnamed: 0") and bool((np.diff(column) == 1).all())
    )


def find_times(tables: Sequence[Table]) -> _Times | None:
    """Return the column with times; `None` if there is none that increases in all recordings."""
    for name in tables[0].names:
        if name.lower() not in TIME_NAMES or any(
            name not in table.names or name in table.unreadable for table in tables
        ):
            continue
        columns = [table.values[:, table.names.index(name)] for table in tables]
        intervals = [np.diff(column) for column in columns if len(column) > 1]
        if not intervals or not all((steps > 0).all() for steps in intervals):
            continue
        medians = np.array([np.median(steps) for steps in intervals])
        has_dates = any(table.has_dates for table in tables)
        unit = 1.0 if has_dates else _guess_unit(name, columns, float(np.median(medians)))
        return _Times(
            name=name,
            unit=unit,
            rate=float(f"{1 / (np.median(medians) * unit):.3g}"),
            is_irregular=any(
                (np.abs(steps / m - 1) >= JITTER).any() for steps, m in zip(intervals, medians, strict=True)
            ),
            rates_differ=bool(np.ptp(medians) > 0.005 * medians.min()),
        )
    return None


def _guess_unit(name: str, columns: Sequence[np.ndarray], interval: float) -> float:
    """Return the seconds of one unit: milliseconds by the name, or for whole numbers with larger steps than 1."""
    whole = all((column == np.rint(column)).all() for column in columns)
    return 0.001 if name.lower().endswith("_ms") or (whole and interval > 1) else 1.0


def _count_rows(table: Table, times: _Times | None) -> int:
    if times is None:
        return len(table.values)
    column = table.values[:, table.names.index(times.name)]
    return int((column[-1] - column[0]) * times.unit * times.rate + 1e-6) + 1


def choose_window(lengths: Sequence[int], times: _Times | None, is_few: bool) -> _Window:
    """Return how to cut recordings of these numbers of rows; a few of them are samples only if they are short."""
    shortest, longest = min(lengths), max(lengths)
    wanted = 128 if times is None else int(np.clip(round(_SECONDS * times.rate), 32, 512))
    most = 2 * wanted if is_few else _LONGEST_WHOLE
    if longest <= most and longest <= 2 * shortest:
        if shortest == longest:
            return _Window(longest, 0.0, "Each recording is one window.")
        return _Window(
            longest, 0.0, f"Recordings have {shortest} to {longest} rows: each is one window.", pads=True
        )
    rows = max(8, min(wanted, int(np.quantile(lengths, 0.1))))
    span = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    seconds = "" if times is None else f", {rows / times.rate:.3g} s"
    return _Window(
        rows,
        0.5,
        f"Recordings have {span} rows; windows of {rows}{seconds} overlap by half.",
        pads=shortest < rows,
    )


def describe_reading(
    tables: Sequence[Table], channels: Sequence[str], times: _Times | None, window: _Window
) -> list[str]:
    """Return the lines of the specification that say how files are read."""
    lines = []
    if tables[0].names != [str(i) for i in range(len(tables[0].names))]:
        lines.append(f"channels={_quote(channels)},")
    if times is not None:
        lines.append(f"time_column={json.dumps(times.name)},")
        if times.unit != 1:
            lines += [
                "# Times are whole numbers with large steps: taken as milliseconds.",
                f"time_unit={times.unit},",
            ]
        lines += ["# In Hz; recordings at other rates are resampled.", f"sample_rate={times.rate:g},"]
        if times.is_irregular:
            lines += ["# The times of some recordings are irregular.", 'irregular="resample",']
    if any(
        np.isnan(table.values[:, table.names.index(name)]).any()
        for table in tables
        for name in channels
        if name in table.names
    ):
        lines += ["# Some recordings lack values; at most max_gap successive ones.", 'missing="interpolate",']
    if window.overlap:
        lines.append(f"window_overlap={window.overlap},")
    if window.pads:
        lines.append('short_recordings="pad",')
    return lines


def describe_rotation(channels: Sequence[str]) -> list[str]:
    """Return the lines of the specification that turn three-axis sensors; empty if the names tell of none."""
    axes = find_axes(channels)
    if not axes:
        return []
    return ["rotation=0.2,", f"rotation_axes=[{', '.join(_quote(group, '()') for group in axes)}],"]


def find_axes(channels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the channels of each three-axis sensor, by names that differ in a last or first letter x, y or z."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for name in channels:
        parts = re.fullmatch(r"(.*?)([xyz])", name, re.IGNORECASE) or re.fullmatch(
            r"([xyz])([_ .-].*)", name, re.IGNORECASE
        )
        if parts is not None:
            letter = next(part for part in parts.groups() if part.lower() in ("x", "y", "z"))
            others = tuple("" if part == letter else part for part in parts.groups())
            found.setdefault(others, {})[letter.lower()] = name
    return [tuple(group[axis] for axis in "xyz") for group in found.values() if len(group) == 3]


def _describe_data(
    layout: FolderLayout, channels: Sequence[str], times: _Times | None, window: _Window
) -> str:
    rate = "" if times is None else f" at {times.rate:g} Hz"
    return (
        f"{layout.count:,} training recordings in {len(layout.files)} classes, {len(channels)} channels{rate}; "
        f"windows of {window.rows} rows"
    )


def _quote(names: Sequence[str], brackets: str = "[]") -> str:
    return brackets[0] + ", ".join(json.dumps(name, ensure_ascii=False) for name in names) + brackets[1]


def _describe_head(window: _Window) -> dict[str, str]:
    """Return how the network ends: windows of a stream begin anywhere, whole recordings have an order."""
    if window.overlap:
        return {
            "head_reason": "Windows begin anywhere: what happens counts, not when.",
            "head": "x = keras.layers.GlobalAveragePooling2D()(x)",
        }
    return {
        "head_reason": "A window is a whole recording: the mean of each quarter keeps the order of what happens.",
        "head": 'x = keras.layers.AveragePooling2D((-(-x.shape[1] // 4), 1), padding="same")(x)\n'
        "    x = keras.layers.Flatten()(x)",
    }


def _append(lines: Sequence[str], indent: str = "    ") -> str:
    """Return lines that follow another one in a template."""
    return "".join(f"\n{indent}{line}" for line in lines if line)


def _template(name: str) -> Template:
    return Template(Path(__file__).with_name(f"{name}.py.tmpl").read_text(encoding="utf-8"))
