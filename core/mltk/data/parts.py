"""Divide the files of a data set into training, validation and test parts, by lists of files and by groups.

A group (a speaker, a device, a day) that is in two parts makes the figures of an evaluation too good: the model is
tested on what it knows. `PartLister` keeps each group in one part.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mltk.data.findings import list_names
from mltk.data.groups import GroupFunction, count_groups, order_groups
from mltk.data.listing import Split, list_valid_filenames_in_directory, split_file_list
from mltk.errors import DatasetError, did_you_mean


def find_folder(folder: Path, specification: str) -> Path:
    """Return the absolute path of a folder that a specification names.

    Args:
        folder: Absolute, or relative to the folder of the specification, or to the current one if only that has it.
        specification: Path of the specification; may be empty.
    """
    folder = folder.expanduser()
    beside = Path(specification).resolve().parent / folder
    return folder.absolute() if folder.is_dir() and not beside.is_dir() else beside


def find_part_folders(folder: Path, classes: Sequence[str]) -> dict[str, Path]:
    """Return the folders `train`, `val` (or `validation`, `valid`) and `test` of a data set, by subset.

    Args:
        folder: Folder of the data set.
        classes: Class names; a class may be named like one of these folders.

    Returns:
        An empty dictionary unless the folder has `train` and no class of that name.
    """
    if "train" in classes or not Path(folder, "train").is_dir():
        return {}
    names = {"training": ("train",), "validation": ("val", "validation", "valid"), "evaluation": ("test",)}
    return {
        subset: Path(folder, name)
        for subset, options in names.items()
        for name in options
        if Path(folder, name).is_dir()
    }


def read_file_list(folder: str | os.PathLike[str], name: str) -> frozenset[str]:
    """Read a list of files of a data set: one path on a line, relative to the folder of the data set.

    Args:
        folder: Folder of the data set.
        name: Name of the list, relative to `folder`, such as `testing_list.txt`.

    Raises:
        DatasetError: The list cannot be read, or names no file.
    """
    path = Path(folder, name)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise DatasetError(f"The list of files '{path}' cannot be read: {e}.") from e
    files = frozenset(line.strip().replace("\\", "/").removeprefix("./") for line in lines if line.strip())
    if not files:
        raise DatasetError(f"The list of files '{path}' is empty.")
    return files


class PartLister:
    """List the files of a class that belong to one part of a data set; a `ListFilenamesFunction`.

    Args:
        group_of: Keeps each group on one side of a split; `None` splits the files one by one. A file without a group
            is a group of its own.
        only: Files to list, relative to the folder of the data set; `None` for all.
        without: Files to leave out.
        test_groups: Groups that are for the evaluation alone.
        is_test: List the files of these groups, in place of the others.

    Raises:
        DatasetError: The data set has no such group.
    """

    def __init__(
        self,
        group_of: GroupFunction | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = frozenset(),
        test_groups: Collection[str] = (),
        is_test: bool = False,
    ) -> None:
        self._group_of = group_of
        self._only = only
        self._without = without
        self._test_groups = frozenset(test_groups)
        self._is_test = is_test
        self._groups: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {}

    def __call__(
        self,
        base_directory: str | os.PathLike[str],
        search_class: str,
        white_list_formats: Iterable[str] | None = None,
        split: Split | None = None,
        follow_links: bool = False,
        shuffle_index_directory: str | os.PathLike[str] | None = None,
    ) -> tuple[str, list[str]]:
        """Return the class and its files; see `mltk.data.list_valid_filenames_in_directory`."""
        formats = None if white_list_formats is None else tuple(white_list_formats)
        _, paths = list_valid_filenames_in_directory(
            base_directory, search_class, formats, None, follow_links, shuffle_index_directory
        )
        if self._test_groups:
            self._order_groups(os.fspath(base_directory), formats, follow_links)  # Checks their names.
        paths = self._select(paths)
        if split is None or self._group_of is None:
            return search_class, split_file_list(paths, split)
        split_file_list((), split)  # Checks the fractions.
        groups, middles = self._order_groups(os.fspath(base_directory), formats, follow_links)
        if len(groups) < 2:
            return search_class, split_file_list(paths, split)
        first, last = (count_groups(middles, fraction) for fraction in split)
        chosen = set(groups[first:last])
        return search_class, [path for path in paths if self._group(path) in chosen]

    def _select(self, paths: Sequence[str]) -> list[str]:
        return [p for p in self._select_listed(paths) if self._is_wanted(self._group(p))]

    def _select_listed(self, paths: Sequence[str]) -> list[str]:
        return [p for p in paths if p not in self._without and (self._only is None or p in self._only)]

    def _is_wanted(self, group: str) -> bool:
        return not self._test_groups or (group in self._test_groups) == self._is_test

    def _group(self, path: str) -> str:
        group = None if self._group_of is None else self._group_of(path)
        return path if group is None else str(group)

    def _order_groups(
        self, root: str, formats: tuple[str, ...] | None, follow_links: bool
    ) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Return the groups in order and, for each, the fraction of all files up to the middle of its own."""
        if root not in self._groups:
            counts: Counter[str] = Counter()
            for folder in sorted(p.name for p in Path(root).iterdir() if p.is_dir()):
                if not folder.startswith((".", "_", "~")):
                    _, paths = list_valid_filenames_in_directory(root, folder, formats, None, follow_links)
                    counts.update(map(self._group, self._select_listed(paths)))
            for name in sorted(self._test_groups.difference(counts)):
                raise DatasetError(
                    f"my_model.test_groups has '{name}', but no file in '{root}' is of this group."
                    f"{did_you_mean(name, counts)} Groups: {list_names(sorted(counts))}."
                )
            counts = Counter({group: n for group, n in counts.items() if self._is_wanted(group)})
            self._groups[root] = order_groups(counts)
        return self._groups[root]
