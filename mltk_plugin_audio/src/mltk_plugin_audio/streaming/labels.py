"""Labels of a recording: which word is said when."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mltk.errors import DatasetError, did_you_mean


@dataclass(frozen=True)
class Event:
    """A part of a recording in which a class is heard."""

    start_ms: float
    end_ms: float
    class_id: int


def read_labels(path: str | os.PathLike[str], classes: Sequence[str]) -> tuple[Event, ...]:
    r"""Read a label file.

    Each line is one event, `start<TAB>end<TAB>label` with times in seconds, as Audacity exports label tracks. Commas
    and semicolons work in place of tabs. A header line (`start`, …), empty lines, lines that start with `#`, and the
    frequency lines of Audacity, which start with a backslash, are skipped.

    Args:
        path: The label file, in UTF-8.
        classes: Class names, compared without regard to case. Labels that start with `_` are skipped, because the
            device does not report them.

    Returns:
        The events, sorted by time.

    Raises:
        DatasetError: The file cannot be read, or a line is invalid; the message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "it is not a text file"
        raise DatasetError(f"The labels {path} cannot be read: {reason}.") from e
    ids = {name.casefold(): i for i, name in enumerate(classes)}
    events = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("#", "\\")):
            continue
        cells = _split_line(line)
        if number == 1 and cells[0].casefold() in ("start", "begin", "onset"):
            continue
        start, end, label = _parse_event(cells, f"{path}, line {number}")
        if label.startswith("_"):
            continue
        class_id = ids.get(label.casefold())
        if class_id is None:
            raise DatasetError(
                f"{path}, line {number}: the model has no class '{label}'.{did_you_mean(label, classes)} "
                "Use the label _unknown_ for other sounds."
            )
        events.append(Event(1000 * start, 1000 * end, class_id))
    return tuple(sorted(events, key=lambda e: (e.start_ms, e.end_ms, e.class_id)))


def format_labels(events: Iterable[Event], classes: Sequence[str]) -> str:
    """Return the text of a label file that `read_labels` and Audacity can read."""
    return "".join(f"{e.start_ms / 1000:.6f}\t{e.end_ms / 1000:.6f}\t{classes[e.class_id]}\n" for e in events)


def _split_line(line: str) -> list[str]:
    delimiter = next((d for d in "\t;," if d in line), "\t")
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _parse_event(cells: list[str], where: str) -> tuple[float, float, str]:
    try:
        start, end, label = float(cells[0]), float(cells[1]), cells[2]
    except (ValueError, IndexError):
        raise DatasetError(
            f"{where}: expected start, end and label, separated by tabs or commas, with times in seconds."
        ) from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
        raise DatasetError(f"{where}: the event must start at 0 or later and must not end before it starts.")
    if not label:
        raise DatasetError(f"{where}: the event has no label.")
    return start, end, label
