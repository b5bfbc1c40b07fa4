"""Text formatting of numbers, tables and untrusted strings."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mltk.reference_names import late_names

_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "u", -9: "n", -12: "p"}

# Control characters, what turns the direction of writing round, other ends of lines, and halves of characters, which
# cannot be encoded.
_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, lines: bool = False) -> str:
    r"""Return a text that comes from elsewhere so that it does nothing to a terminal but appear on it.

    Args:
        text: E.g. a name in a file.
        lines: Keep the ends of lines and tabs; else the result is one line.

    Returns:
        The text, with escapes such as `\x1b` for what would act.
    """

    def shown(match: re.Match[str]) -> str:
        character = match[0]
        return character if lines and character in "\n\t" else character.encode("unicode_escape").decode()

    return _ACTS.sub(shown, text)


def format_units(value: float, precision: int = 3, add_space: bool = True) -> str:
    """Format a number with an SI prefix: `format_units(1234567)` is `1.235 M`.

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
    """Format a table as aligned text with a frame; a cell may have several lines."""
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


if not TYPE_CHECKING:
    __getattr__ = late_names(__name__)
