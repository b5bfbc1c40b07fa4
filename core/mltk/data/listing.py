"""List the samples of a data set that is a folder with one folder per class.

The order is the same on every machine and in every run: names are sorted, and random draws are seeded. Nothing is
written to the data set's folder.
"""

from __future__ import annotations

import math
import os
import posixpath
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from mltk.data.findings import warn_once
from mltk.errors import DatasetError, did_you_mean
from mltk.utils.files import atomic_write

T = TypeVar("T")

DEFAULT_SEED = 43
"""Default seed of the random draws in a listing."""

Split = tuple[float, float]
"""First and last fraction of a part of a list, both within 0 to 1."""

_IGNORED_PREFIXES = ("_", "~", ".")

_NOTES = (".txt", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".ini", ".db", ".lnk")
"""Endings of files beside samples: notes, annotations, and what systems write."""


class ListFilenamesFunction(Protocol):
    """Function that lists the samples of one class; called with keyword arguments only."""

    def __call__(
        self,
        *,
        base_directory: str,
        search_class: str,
        white_list_formats: tuple[str, ...] | None,
        split: Split | None,
        follow_links: bool,
        shuffle_index_directory: str | None,
    ) -> tuple[str, Sequence[str]]:
        """Return the class and its samples' paths, relative to `base_directory`, with forward slashes."""
        ...


class ProcessSamplesFunction(Protocol):
    """Function that edits the lists of samples of all classes in place."""

    def __call__(
        self,
        *,
        directory: str,
        sample_paths: dict[str, list[str | None]],
        split: Split | None,
        follow_links: bool,
        white_list_formats: tuple[str, ...] | None,
        shuffle: bool,
        seed: int | None,
    ) -> None:
        """Add, remove or reorder paths in `sample_paths`, class label to paths relative to `directory`.

        Samples of the "empty" class are `None`.
        """
        ...


def list_dataset_directory(
    directory: str | os.PathLike[str],
    classes: Sequence[str],
    unknown_class_percentage: float = 1.0,
    unknown_class_label: str | None = None,
    empty_class_percentage: float = 1.0,
    empty_class_label: str | None = None,
    class_counts: MutableMapping[str, int] | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    split: Split | None = None,
    max_samples_per_class: int = -1,
    white_list_formats: Iterable[str] | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
    return_absolute_paths: bool = False,
    list_valid_filenames_in_directory_function: ListFilenamesFunction | None = None,
    process_samples_function: ProcessSamplesFunction | None = None,
) -> tuple[list[str | None], list[int]]:
    """List the samples of a data set as `<directory>/<class>/**/<sample>`.

    Args:
        directory: The data set's folder.
        classes: Class labels; the position of a label is its id. A label names the folder of its samples,
            except for the two special labels below.
        unknown_class_percentage: Size of the "unknown" class relative to the mean size of the named classes;
            0 leaves the class empty, for `process_samples_function` to fill.
        unknown_class_label: If this label is in `classes`, its samples are drawn evenly from the folders
            that are not in `classes` and whose names do not start with `_`, `~` or `.`.
        empty_class_percentage: Size of the "empty" class relative to the mean size of the named classes.
        empty_class_label: If this label is in `classes`, its samples have no file: their paths are `None`.
        class_counts: Receives the number of samples of each class.
        shuffle: Shuffle the samples of all classes together; else they are in the order of the classes.
        seed: Seed of the shuffle and of the draw of "unknown" samples; `None` means 43.
        split: Part of each class to list, e.g. `(0.8, 1.0)` for the last fifth; see `split_file_list`.
        max_samples_per_class: Maximum number of samples of each class; -1 for no limit.
        white_list_formats: File name endings to accept, in any case; `None` accepts every file.
        follow_links: Follow symbolic links to folders inside the class folders.
        shuffle_index_directory: Folder that keeps a shuffled order of each class, see
            `list_valid_filenames_in_directory`.
        return_absolute_paths: Return absolute paths instead of paths relative to `directory`.
        list_valid_filenames_in_directory_function: Replaces `list_valid_filenames_in_directory`.
        process_samples_function: Called once with the lists of all classes, which it may edit in place;
            the limit per class is applied to its result too.

    Returns:
        `(paths, ids)`: paths with forward slashes, and the class id of each.

    Raises:
        DatasetError: The folder, the folder of a class, or all samples of a class are missing.
    """
    root = os.fspath(directory)
    if not Path(root).is_dir():
        raise DatasetError(f"The data set folder '{root}' does not exist or is not a folder.")
    labels = _check_labels(classes)
    split = None if split is None else _check_split(split)
    formats = _normalize_formats(white_list_formats)
    rng = np.random.default_rng(DEFAULT_SEED if seed is None else seed)
    list_class = list_valid_filenames_in_directory_function or list_valid_filenames_in_directory
    limit = None if max_samples_per_class < 0 else max_samples_per_class
    index_directory = None if shuffle_index_directory is None else os.fspath(shuffle_index_directory)

    def list_files(label: str) -> list[str | None]:
        _, paths = list_class(
            base_directory=root,
            search_class=label,
            white_list_formats=formats,
            split=split,
            follow_links=follow_links,
            shuffle_index_directory=index_directory,
        )
        return list(paths)

    special = {label for label in (unknown_class_label, empty_class_label) if label in labels}
    named = [label for label in labels if label not in special]
    if not named:
        raise DatasetError("At least one class besides the 'unknown' and the 'empty' one is needed.")
    samples = {label: list_files(label)[:limit] for label in named}
    if formats is not None:
        draws = unknown_class_label in special
        _report_left_out(root, _list_others(root, ()) if draws else named, formats, follow_links)
    mean_size = sum(map(len, samples.values())) / len(named)
    if unknown_class_label in special:
        total = max(1, int(mean_size * unknown_class_percentage)) if unknown_class_percentage else 0
        samples[str(unknown_class_label)] = _draw_unknown(root, labels, list_files, total, rng)
    if empty_class_label in special:
        samples[str(empty_class_label)] = [None] * max(1, int(mean_size * empty_class_percentage))
    samples = {label: samples[label] for label in labels}
    if process_samples_function is not None:
        process_samples_function(
            directory=root,
            sample_paths=samples,
            split=split,
            follow_links=follow_links,
            white_list_formats=formats,
            shuffle=shuffle,
            seed=seed,
        )
    # `process_samples_function` may have added labels.
    chosen = {label: samples.get(label, [])[:limit] for label in labels}
    for label, paths in chosen.items():
        if not paths:
            raise DatasetError(_describe_missing_samples(root, label, formats, split))
    if class_counts is not None:
        class_counts.update({label: len(paths) for label, paths in chosen.items()})
    return _join_classes(
        [chosen[label] for label in labels],
        rng if shuffle else None,
        Path(root).absolute().as_posix() if return_absolute_paths else None,
    )


def _draw_unknown(
    root: str,
    labels: Sequence[str],
    list_files: Callable[[str], list[str | None]],
    total: int,
    rng: np.random.Generator,
) -> list[str | None]:
    """Draw `total` samples evenly from the folders that are not classes."""
    if not total:
        return []
    others = _list_others(root, labels)
    if not others:
        raise DatasetError(
            f"There is no folder in '{root}' to draw samples of the 'unknown' class from: every folder is a named "
            f"class. Remove the 'unknown' class, or add folders with other samples."
        )
    return _draw_evenly([list_files(name) for name in others], total, rng)


def _list_others(root: str, labels: Iterable[str]) -> list[str]:
    """Return the class folders besides those that are named."""
    named = set(labels)
    return [
        name for name in _list_folders(root) if name not in named and not name.startswith(_IGNORED_PREFIXES)
    ]


def _join_classes(
    samples: Sequence[Sequence[str | None]], rng: np.random.Generator | None, base: str | None
) -> tuple[list[str | None], list[int]]:
    """Return paths and class ids of all classes, shuffled by `rng`, with `base` before each path."""
    paths = [path for of_class in samples for path in of_class]
    ids = [class_id for class_id, of_class in enumerate(samples) for _ in of_class]
    if rng is not None:
        order = rng.permutation(len(paths)).tolist()
        paths, ids = [paths[i] for i in order], [ids[i] for i in order]
    if base is not None:
        paths = [None if path is None else f"{base}/{path}" for path in paths]
    return paths, ids


def list_valid_filenames_in_directory(
    base_directory: str | os.PathLike[str],
    search_class: str,
    white_list_formats: Iterable[str] | None = None,
    split: Split | None = None,
    follow_links: bool = False,
    shuffle_index_directory: str | os.PathLike[str] | None = None,
) -> tuple[str, list[str]]:
    """List the files below the folder of one class.

    Files and folders whose names start with `.` are ignored.

    Args:
        base_directory: The data set's folder.
        search_class: Name of the class's folder in it.
        white_list_formats: File name endings to accept, in any case; `None` accepts every file.
        split: Part of the list to return, see `split_file_list`.
        follow_links: Follow symbolic links to folders below the class folder.
        shuffle_index_directory: If given, the list is shuffled once and its order is kept in
            `<shuffle_index_directory>/.index/<class>.txt`, one path per line. A later call keeps the
            order of that file, removes files that no longer exist, and appends new ones. Without it, the
            list is sorted.

    Returns:
        `(search_class, paths)`: paths relative to `base_directory`, with forward slashes.

    Raises:
        DatasetError: The folder of the class does not exist.
    """
    root = os.fspath(base_directory)
    if not Path(root, search_class).is_dir():
        raise DatasetError(_describe_missing_folder(root, search_class))
    paths = sorted(_scan(root, search_class, _normalize_formats(white_list_formats), follow_links))
    if shuffle_index_directory is not None:
        paths = _update_index(paths, Path(shuffle_index_directory, ".index", f"{search_class}.txt"))
    return search_class, split_file_list(paths, split)


def split_file_list(paths: Sequence[T], split: Split | None = None) -> list[T]:
    """Return the part of `paths` between two fractions of its length.

    `(0, v)` and `(v, 1)` never overlap and together are the whole list.

    Args:
        paths: The list to cut.
        split: `(start, stop)`, both from 0 to 1; `None` returns everything.

    Raises:
        DatasetError: The fractions are outside of 0 to 1 or not ascending.
    """
    if split is None:
        return list(paths)
    start, stop = _check_split(split)
    return list(paths[math.ceil(start * len(paths)) : math.ceil(stop * len(paths))])


def shuffle_file_list_by_group(
    paths: Iterable[str], group_callback: Callable[[str], str], seed: int = 42
) -> list[str]:
    """Shuffle a list so that the members of a group stay side by side.

    Splitting the result divides at most one group, e.g. one speaker of recordings.

    Args:
        paths: The list to shuffle; it is not changed.
        group_callback: Returns the group of a path.
        seed: Seed of the order of the groups and of the order within them.

    Returns:
        The shuffled list.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(group_callback(path), []).append(path)
    rng = np.random.default_rng(seed)
    members = list(groups.values())
    return [members[g][i] for g in rng.permutation(len(members)) for i in rng.permutation(len(members[g]))]


def _report_left_out(root: str, folders: Sequence[str], formats: tuple[str, ...], follow_links: bool) -> None:
    """Warn of files in class folders that are not listed because of their endings, but may be samples."""
    endings = Counter(
        posixpath.splitext(path)[1].lower() or "without an ending"
        for folder in folders
        if Path(root, folder).is_dir()
        for path in _scan(root, folder, None, follow_links)
    )
    left_out = {e: n for e, n in endings.items() if e not in formats and e not in _NOTES}
    if left_out:
        kinds = ", ".join(
            f"{n:,} {e}" for e, n in sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
        )
        warn_once(
            root,
            f"{sum(left_out.values()):,} of {sum(endings.values()):,} files in '{root}' are left out: {kinds}. "
            f"Files that are read end in {', '.join(sorted(formats))}; convert the others, or remove them.",
        )


def _scan(root: str, relative: str, formats: tuple[str, ...] | None, follow_links: bool) -> Iterable[str]:
    """Yield the files with these endings below `root/relative`: paths relative to `root`, in no particular order."""
    pending = [(relative, frozenset[tuple[int, int]]())]
    while pending:
        folder, ancestors = pending.pop()
        if follow_links:
            # A link to a folder above itself would recurse forever.
            status = Path(root, folder).stat()
            identity = (status.st_dev, status.st_ino)
            if identity in ancestors:
                continue
            ancestors = ancestors | {identity}
        with os.scandir(posixpath.join(root, folder)) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=follow_links):
                    pending.append((f"{folder}/{name}", ancestors))
                elif (formats is None or name.lower().endswith(formats)) and entry.is_file():
                    yield f"{folder}/{name}"


def _update_index(paths: list[str], index: Path) -> list[str]:
    present = set(paths)
    known = os.fsdecode(index.read_bytes()).split("\n")[:-1] if index.is_file() else []
    kept = [path for path in dict.fromkeys(known) if path in present]
    new = sorted(present.difference(kept))
    # One seed for all classes would give classes of equal size the same order.
    rng = np.random.default_rng([DEFAULT_SEED, zlib.crc32(index.stem.encode())])
    order = kept + [new[i] for i in rng.permutation(len(new))]
    if order != known:
        atomic_write(index, os.fsencode("".join(f"{path}\n" for path in order)))
    return order


def _draw_evenly(folders: list[list[str | None]], total: int, rng: np.random.Generator) -> list[str | None]:
    """Draw `total` samples, as evenly from the folders as their sizes allow."""
    drawn: list[str | None] = []
    # Small folders first: larger ones make up for what they lack. Folders of equal size are in random order.
    order = sorted(rng.permutation(len(folders)).tolist(), key=lambda i: len(folders[i]))
    for position, i in enumerate(order):
        share = (total - len(drawn)) // (len(order) - position)
        chosen = rng.permutation(len(folders[i]))[:share]
        drawn.extend(folders[i][j] for j in chosen)
    return drawn


def _list_folders(root: str) -> list[str]:
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def _check_labels(classes: Sequence[str]) -> list[str]:
    if isinstance(classes, str):
        raise DatasetError(f"The classes must be a list of labels, got the text '{classes}'.")
    labels = list(classes)
    repeated = sorted(label for label, count in Counter(labels).items() if count > 1)
    if repeated:
        raise DatasetError(f"The class '{repeated[0]}' is listed more than once.")
    return labels


def _check_split(split: Split) -> Split:
    start, stop = split
    if not 0 <= start <= stop <= 1:
        raise DatasetError(f"A split must be two ascending fractions from 0 to 1, got ({start}, {stop}).")
    return start, stop


def _normalize_formats(formats: Iterable[str] | None) -> tuple[str, ...] | None:
    if formats is None:
        return None
    given = (formats,) if isinstance(formats, str) else tuple(formats)
    return tuple("." + ending.lower().lstrip(".") for ending in given)


def _describe_missing_folder(root: str, label: str) -> str:
    if not Path(root).is_dir():
        return f"The data set folder '{root}' does not exist or is not a folder."
    folders = [name for name in _list_folders(root) if not name.startswith(".")]
    if not folders:
        return f"There is no folder for class '{label}' in '{root}': it has no folders at all."
    shown = ", ".join(f"'{name}'" for name in folders[:10]) + (", …" if len(folders) > 10 else "")
    return (
        f"There is no folder for class '{label}' in '{root}'.{did_you_mean(label, folders)} It has: {shown}."
    )


def _describe_missing_samples(
    root: str, label: str, formats: tuple[str, ...] | None, split: Split | None
) -> str:
    part = "" if split is None else f" in the part from {split[0]:.0%} to {split[1]:.0%} of its files"
    kinds = "" if formats is None else f" Looked for: {', '.join(formats)}."
    return f"The class '{label}' has no samples{part} in '{root}'.{kinds}"
