"""List recordings so that nobody is heard both in training and in validation."""

from __future__ import annotations

import os
import posixpath
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mltk.data import listing

Split = tuple[float, float]

_SPEAKER_END = "_nohash_"


def speaker_of(path: str) -> str | None:
    """Return who speaks in a file named `<speaker>_nohash_<n>.wav`; `None` for another kind of name."""
    name, end, _ = posixpath.basename(path).partition(_SPEAKER_END)
    return name if end else None


def list_valid_filenames_in_directory(
    base_directory: str | os.PathLike[str],
    search_class: str,
    white_list_formats: Iterable[str] | None = None,
    split: Split | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
) -> tuple[str, list[str]]:
    """List the files of one class, each speaker whole in one part of a split.

    The speakers of all classes are put into one order, which depends on their names alone, and the order is
    cut where the parts have the wanted sizes as nearly as whole speakers allow; each part has at least one.
    Thus a speaker is in the same part for all classes. Where file names do not tell the speaker, or all are of one,
    the split is that of `mltk.core.preprocess.utils.list_valid_filenames_in_directory`; for the arguments see there.
    """
    formats = None if white_list_formats is None else tuple(white_list_formats)
    speakers: tuple[str, ...] = ()
    if split is not None and _has_speakers(base_directory, search_class):
        speakers, ends = _speakers(*_folders(Path(base_directory)))
    if split is None or len(speakers) < 2:
        return listing.list_valid_filenames_in_directory(
            base_directory, search_class, formats, split, follow_links, shuffle_index_directory
        )
    listing.split_file_list((), split)  # Checks the fractions.
    _, paths = listing.list_valid_filenames_in_directory(
        base_directory, search_class, formats, None, follow_links, shuffle_index_directory
    )
    first, last = (_cut(ends, fraction) for fraction in split)
    chosen = set(speakers[first:last])
    return search_class, [path for path in paths if (speaker_of(path) or path) in chosen]


def _cut(ends: tuple[float, ...], fraction: float) -> int:
    """Return how many speakers come before a fraction of the files.

    Args:
        ends: For each speaker, the fraction of all files up to the middle of the speaker's own.
        fraction: 0 to 1.
    """
    if fraction <= 0 or fraction >= 1:
        return 0 if fraction <= 0 else len(ends)
    # No part without anybody.
    return min(max(bisect_left(ends, fraction), 1), len(ends) - 1)


def _has_speakers(root: str | os.PathLike[str], label: str) -> bool:
    folder = Path(root, label)
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(_SPEAKER_END in entry.name for entry in entries)


def _folders(root: Path) -> tuple[str, tuple[tuple[str, int], ...]]:
    found = [
        (p.name, p.stat().st_mtime_ns)
        for p in sorted(root.iterdir())
        if p.is_dir() and not p.name.startswith((".", "_", "~"))
    ]
    return str(root), tuple(found)


# The time of a folder changes with the files in it, so what was found before is not out of date.
@lru_cache(maxsize=8)
def _speakers(root: str, folders: tuple[tuple[str, int], ...]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the speakers in their order, and for each the fraction of all files up to the middle of theirs."""
    counts: Counter[str] = Counter()
    for name, _ in folders:
        with os.scandir(posixpath.join(root, name)) as entries:
            counts.update(speaker_of(e.name) or f"{name}/{e.name}" for e in entries if e.name[0] != ".")
    # By a digest: names are numbered by recording session, accent or the like.
    speakers = sorted(counts, key=lambda name: (zlib.crc32(name.encode()), name))
    total = max(sum(counts.values()), 1)
    middles, before = [], 0
    for speaker in speakers:
        middles.append((before + counts[speaker] / 2) / total)
        before += counts[speaker]
    return tuple(speakers), tuple(middles)
