"""Numbers and times as text: names of `mltk.utils.string_formatting`, and of `mltk.core.utils`."""

from __future__ import annotations

import datetime
import math
import re

import numpy as np

from mltk.errors import ArchiveFileNotFoundError, SpecificationError
from mltk.utils.logging import get_mltk_logger, set_mltk_logger
from mltk.utils.string_formatting import format_units

__all__ = [
    "ArchiveFileNotFoundError",
    "FormattedFloat",
    "FormattedInt",
    "convert_units",
    "convert_y_to_labels",
    "get_mltk_logger",
    "iso_time_filename_str",
    "iso_time_str",
    "pretty_time_str",
    "set_mltk_logger",
]


class FormattedInt(int):
    """An integer whose text has an SI prefix."""

    def __str__(self) -> str:
        return format_units(int(self))


class FormattedFloat(float):
    """A number whose text has an SI prefix."""

    def __str__(self) -> str:
        return format_units(float(self))


def convert_units(v: str | float | None) -> int | None:
    """Return the bytes that `32kb`, `2*128M` or `0x10` stand for.

    Raises:
        SpecificationError: The text is of another form.
    """
    if v is None or isinstance(v, int | float):
        return None if v is None else int(v)
    found = re.fullmatch(
        r"((?:[\d.]+\s*\*\s*)*)(0x[\da-f]+|[\d.]+)\s*([kmgtpezy]?)(?:b|bytes?)?", v.strip().lower()
    )
    try:
        if found is None:
            raise ValueError
        number = int(found[2], 16) if found[2].startswith("0x") else float(found[2])
        factors = [float(factor) for factor in found[1].split("*") if factor.strip()]
    except ValueError:
        raise SpecificationError(f"'{v}' is not a number of bytes such as 32kb or 2*128M.") from None
    return int(math.prod(factors) * number * 1024.0 ** " kmgtpezy".index(found[3] or " "))


def pretty_time_str() -> str:
    """Return the local time, e.g. `2026-01-19 23:20:25`."""
    return f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}"


def iso_time_str() -> str:
    """Return the time in UTC, e.g. `2026-01-19T23:20:25.459Z`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_time_filename_str() -> str:
    """Return the time in UTC for a file name, e.g. `2026-01-19T23-20-25.459`."""
    return iso_time_str().removesuffix("Z").replace(":", "-")


def convert_y_to_labels(y: np.ndarray) -> np.ndarray:
    """Return the class ids `(n,)` of one-hot rows, or of ids `(n, 1)`."""
    return np.asarray(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y.reshape(len(y), -1).argmax(axis=1))
