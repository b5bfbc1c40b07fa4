"""Split of a data set by speaker: no speaker is in both training and validation data."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mltk.data import Split, count_groups, order_groups, split_file_list
from mltk.data import list_valid_filenames_in_directory as list_all_filenames

_SPEAKER_END = "_nohash_"


def get_speaker(path: str) -> str | None:
    """Return the speaker of a file named `<speaker>_nohash_<n>.wav`; `None` for other file names."""
    name, end, _ = posixpath.basename(path).partition(_SPEAKER_END)
    return name if end else None


class SpeakerLister:
    """List the files of one class after another, with each speaker in one part of a split only.

    The speakers of all classes are put into one order, which depends only on their names. The order is cut where the
    parts come closest to the requested sizes; each part has at least one speaker. A speaker is therefore in the same
    part for all classes. If the file names do not tell the speaker, or if there is only one speaker, the files are
    split as `mltk.core.preprocess.utils.list_valid_filenames_in_directory` does, which also describes the arguments.

    An object reads the list of class folders once.
    """

    def __init__(self) -> None:
        self._orders: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {}

    def __call__(
        self,
        base_directory: str | os.PathLike[str],
        search_class: str,
        white_list_formats: Iterable[str] | None = None,
        split: Split | None = None,
        follow_links: bool = False,
        shuffle_index_directory: str | os.PathLike[str] | None = None,
    ) -> tuple[str, list[str]]:
        """Return the class and its files."""
        formats = None if white_list_formats is None else tuple(white_list_formats)
        root = os.fspath(base_directory)
        speakers: tuple[str, ...] = ()
        if split is not None and _has_speakers(root, search_class):
            if root not in self._orders:
                self._orders[root] = _order_speakers(*_list_folders(Path(root)))
            speakers, middles = self._orders[root]
        if split is None or len(speakers) < 2:
            return list_all_filenames(
                root, search_class, formats, split, follow_links, shuffle_index_directory
            )
        split_file_list((), split)  # Checks the fractions.
        _, paths = list_all_filenames(
            root, search_class, formats, None, follow_links, shuffle_index_directory
        )
        first, last = (count_groups(middles, fraction) for fraction in split)
        chosen = set(speakers[first:last])
        return search_class, [path for path in paths if (get_speaker(path) or path) in chosen]


def list_valid_filenames_in_directory(
    base_directory: str | os.PathLike[str],
    search_class: str,
    white_list_formats: Iterable[str] | None = None,
    split: Split | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
) -> tuple[str, list[str]]:
    """List the files of one class, with each speaker in one part of a split only; see `SpeakerLister`."""
    return SpeakerLister()(
        base_directory, search_class, white_list_formats, split, follow_links, shuffle_index_directory
    )


def _has_speakers(root: str | os.PathLike[str], label: str) -> bool:
    folder = Path(root, label)
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(_SPEAKER_END in entry.name for entry in entries)


def _list_folders(root: Path) -> tuple[str, tuple[tuple[str, int], ...]]:
    found = [
        (p.name, p.stat().st_mtime_ns)
        for p in sorted(root.iterdir())
        if p.is_dir() and not p.name.startswith((".", "_", "~"))
    ]
    return str(root), tuple(found)


# The modification times in the key make a cached result invalid when files are added or removed.
@lru_cache(maxsize=8)
def _order_speakers(
    root: str, folders: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the ordered speakers and, for each, the fraction of all files up to the middle of the speaker's own."""
    counts: Counter[str] = Counter()
    for name, _ in folders:
        with os.scandir(posixpath.join(root, name)) as entries:
            counts.update(get_speaker(e.name) or f"{name}/{e.name}" for e in entries if e.name[0] != ".")
    return order_groups(counts)
