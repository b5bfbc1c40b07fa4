"""Groups of files: speakers, devices, days; told by a function, a regular expression, or found in file names."""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mltk.errors import SpecificationError

GROUP_PATTERNS = (
    r"/([^/]+?)_nohash_",
    r"^[^/]+/([^/]+)/[^/]+$",
    r"/[^/_-]+[_-]([^/]+?)[_-]\d+\.[^./]+$",
    r"/([^/]+?)[_-]\d+\.[^./]+$",
)
"""Names of files that tell a group: `yes/anna_nohash_3.wav`, `yes/anna/3.wav`, `7/7_anna_3.wav`, `chair/oak_2.png`."""

_SHARED = (r"^[^/]+/([^/]+)/[^/]+$", r"/[^/_-]+[_-]([^/]+?)[_-]\d+\.[^./]+$")
"""Patterns that tell groups only if most groups have files in several classes."""

GroupFunction = Callable[[str], str | None]
"""Returns the group of a file, by its path relative to the data set's folder; `None` for a file without a group."""


def as_group_function(value: str | GroupFunction | bool) -> GroupFunction | None:
    """Return `my_model.group_by` as a function.

    Args:
        value: A function, or a regular expression that is searched in the path of a file, such as
            `yes/anna_nohash_3.wav`; its first parenthesis, or else the whole match, is the group. `False`: there are
            no groups.

    Raises:
        SpecificationError: The text is not a regular expression, or the value is neither.
    """
    if value is False:
        return None
    if callable(value):
        return value
    if not isinstance(value, str):
        raise SpecificationError(
            f"my_model.group_by must be a function or a regular expression, not {type(value).__name__}."
        )
    try:
        pattern = re.compile(value)
    except re.error as e:
        raise SpecificationError(f"my_model.group_by is not a regular expression: {e}.") from None

    def group(path: str) -> str | None:
        found = pattern.search(path)
        return None if found is None else found[1 if pattern.groups else 0]

    return group


def find_group_pattern(files: Mapping[str, Sequence[str]]) -> tuple[str | None, int]:
    """Return the pattern by which file names tell groups, and the number of groups; `(None, 0)` if they tell none.

    Groups have more than one file on average, and each class has two or more.

    Args:
        files: Paths of the files of each class, `<class>/…/<name>`.
    """
    if not files:
        return None, 0
    for pattern in GROUP_PATTERNS:
        found = {label: [re.search(pattern, path) for path in paths] for label, paths in files.items()}
        groups = {label: {m[1] for m in matches if m} for label, matches in found.items()}
        classes = Counter(group for of_class in groups.values() for group in of_class)
        shared = sum(count > 1 for count in classes.values())
        if (
            all(all(matches) for matches in found.values())
            and min(map(len, groups.values())) >= 2
            and len(classes) <= sum(map(len, files.values())) / 1.5
            and (pattern not in _SHARED or shared > len(classes) / 2)
        ):
            return pattern, len(classes)
    return None, 0


def describe_torn_groups(training: Sequence[str], validation: Sequence[str]) -> str | None:
    """Return a warning if file names tell groups, such as speakers, that a split put on both sides.

    Args:
        training: Paths of the training files, `<class>/…/<name>`.
        validation: Paths of the validation files.
    """
    files: dict[str, list[str]] = {}
    for path in (*training, *validation):
        if "/" in path:
            files.setdefault(path.split("/", 1)[0], []).append(path)
    pattern, count = find_group_pattern(files)
    if pattern is None:
        return None
    sides = [
        {match[1] for path in paths if (match := re.search(pattern, path))}
        for paths in (training, validation)
    ]
    torn = sorted(sides[0] & sides[1])
    if not torn:
        return None
    shown = ", ".join(f"'{group}'" for group in torn[:3]) + (", …" if len(torn) > 3 else "")
    return (
        f"File names tell groups, such as speakers or devices: {shown}. validation_split puts files of {len(torn)} of "
        f"{count} groups on both sides, so the validation looks better than the model is. To keep each group on one "
        f'side, set my_model.group_by = r"{pattern}"; if these are no groups, set my_model.group_by = False.'
    )


def order_groups(counts: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Put groups into an order that depends only on their names.

    Args:
        counts: Number of files of each group.

    Returns:
        The groups, and for each the fraction of all files up to the middle of its own.
    """
    # Ordered by a digest: names are often numbered by session, by accent or by kind.
    groups = sorted(counts, key=lambda name: (zlib.crc32(name.encode()), name))
    total = max(sum(counts.values()), 1)
    before, middles = 0, []
    for group in groups:
        middles.append((before + counts[group] / 2) / total)
        before += counts[group]
    return tuple(groups), tuple(middles)


def count_groups(middles: Sequence[float], fraction: float) -> int:
    """Return the number of groups in the first `fraction` of the files; each part of a split gets at least one.

    Args:
        middles: From `order_groups`.
        fraction: 0 to 1.
    """
    if fraction <= 0 or fraction >= 1:
        return 0 if fraction <= 0 else len(middles)
    return min(max(bisect_left(middles, fraction), 1), len(middles) - 1)
