"""Numbers and tables as text for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "u", -9: "n", -12: "p"}


def format_units(value: float, precision: int = 3, add_space: bool = True) -> str:
    """Return a number with an SI letter: `format_units(1234567)` is `1.235 M`.

    Args:
        value: The number.
        precision: Most decimals; zeros at the end are left out.
        add_space: Whether a blank stands before the letter.

    Returns:
        The number from 1 to 1000 with one of T G M k m u n p, or none; `0` for zero.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = min(max(3 * math.floor(math.log10(abs(value)) / 3), -12), 12)
    if exponent < 12 and round(abs(value) / 10.0**exponent, precision) >= 1000:
        exponent += 3
    number = f"{value / 10.0**exponent:.{precision}f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    letter = _PREFIXES[exponent]
    return f"{number}{' ' if add_space and letter else ''}{letter}"


def format_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as aligned plain text with a frame; a cell may have several lines."""
    table = [[cell.split("\n") for cell in row] for row in [headers, *rows]]
    widths = [max(len(line) for row in table for line in row[column]) for column in range(len(headers))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [rule]
    for number, row in enumerate(table):
        for i in range(max(len(cell) for cell in row)):
            cells = (cell[i] if i < len(cell) else "" for cell in row)
            lines.append("| " + " | ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)) + " |")
        if number == 0:
            lines.append(rule)
    lines.append(rule)
    return "\n".join(lines)
