"""List a data set's folder for an iterator: the part of `flow_from_directory` that all generators share."""

from __future__ import annotations

import os
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mltk.data.checks import Range, check_choice, get_split
from mltk.data.generator_settings import FlowOptions, GeneratorSettings
from mltk.data.labels import CLASS_MODES, Labels
from mltk.data.listing import ListFilenamesFunction, list_dataset_directory
from mltk.errors import DatasetError


@dataclass(frozen=True)
class DirectoryListing:
    """The samples of one subset of a data set that is a folder with a folder for each class."""

    directory: str
    """Absolute path of the data set's folder."""
    classes: tuple[str, ...]
    """Class names in the order of their ids."""
    names: tuple[str | None, ...]
    """Path of each sample, relative to `directory`; `None` for a sample of the empty class."""
    labels: Labels
    split: Range | None
    """First and last fraction of each class that form the subset; `None` for everything."""

    @property
    def class_indices(self) -> dict[str, int]:
        """Class name to id."""
        return {name: i for i, name in enumerate(self.classes)}


def list_directory(
    settings: GeneratorSettings,
    directory: str | os.PathLike[str],
    *,
    formats: Iterable[str],
    flow: FlowOptions,
    classes: Sequence[str] | None = None,
    class_mode: str | None = "categorical",
    only: Sequence[str] | None = None,
    max_samples_per_class: int = -1,
    follow_links: bool = False,
    shuffle_index_dir: str | os.PathLike[str] | None = None,
    list_function: ListFilenamesFunction | None = None,
    class_counts: MutableMapping[str, int] | None = None,
    unknown_class: str | None = None,
    unknown_class_percentage: float = 1.0,
    empty_class: str | None = None,
    empty_class_percentage: float = 1.0,
) -> DirectoryListing:
    """List the samples in `<directory>/<class>/` for an iterator.

    Args:
        settings: The generator; its `validation_split` and `max_samples_per_class` apply.
        directory: Folder with a folder for each class.
        formats: File name endings of samples, in any case.
        flow: Options of the iterator.
        classes: Class names in the order of their ids; `None`: all folders, sorted.
        class_mode: One of `CLASS_MODES`.
        only: Those of `classes` to list; ids stay those of `classes`.
        max_samples_per_class: Maximum number of samples of each class; -1: that of the generator.
        follow_links: Follow links to folders below the class folders.
        shuffle_index_dir: Folder that keeps a shuffled order of the files of each class.
        list_function: Lists the files of a class instead of `list_valid_filenames_in_directory`.
        class_counts: Receives the number of samples of each class.
        unknown_class: If in `classes`, and no folder has this name: class whose samples come from the folders
            that are not in `classes`.
        unknown_class_percentage: Its size, relative to the mean size of the other classes.
        empty_class: If in `classes`, and no folder has this name: class whose samples have no file.
        empty_class_percentage: Its size, relative to the mean size of the other classes.

    Raises:
        DatasetError: A folder is missing, or a class has no sample.
        SpecificationError: An argument is not valid.
    """
    check_choice("class_mode", class_mode, CLASS_MODES)
    root = os.path.abspath(Path(directory).expanduser())  # noqa: PTH100 (keeps links as the user wrote them)
    labels = tuple(classes) if classes is not None else tuple(list_class_folders(root))
    chosen = labels if only is None else tuple(check_choice("classes", name, labels) for name in only)
    special = {
        name: name if name in labels and not Path(root, name).is_dir() else None
        for name in (unknown_class, empty_class)
        if name is not None
    }
    # The samples of the two special classes depend on all other classes.
    listed = labels if any(special.values()) else chosen
    split = get_split(flow.subset, settings.validation_split)
    counts: dict[str, int] = {}
    names, ids = list_dataset_directory(
        root,
        listed,
        unknown_class_percentage=unknown_class_percentage,
        unknown_class_label=special.get(unknown_class or ""),
        empty_class_percentage=empty_class_percentage,
        empty_class_label=special.get(empty_class or ""),
        class_counts=counts,
        seed=flow.seed,
        split=split,
        max_samples_per_class=(
            max_samples_per_class if max_samples_per_class >= 0 else settings.max_samples_per_class
        ),
        white_list_formats=formats,
        follow_links=follow_links,
        shuffle_index_directory=shuffle_index_dir,
        list_valid_filenames_in_directory_function=list_function,
    )
    wanted = set(chosen)
    if class_counts is not None:
        class_counts.update({name: n for name, n in counts.items() if name in wanted})
    is_wanted = np.array([name in wanted for name in listed], bool)
    positions = {name: i for i, name in enumerate(labels)}
    listed_ids = np.array(ids, np.int64)
    kept = np.flatnonzero(is_wanted[listed_ids]).tolist()
    class_ids = np.array([positions[name] for name in listed], np.int64)[listed_ids[kept]]
    return DirectoryListing(
        directory=root,
        classes=labels,
        names=tuple(names[i] for i in kept),
        labels=Labels(class_ids, class_mode, len(labels)),
        split=split,
    )


def list_class_folders(directory: str | os.PathLike[str]) -> list[str]:
    """Return the names of the class folders of a data set, sorted; none starts with `.`, `_` or `~`.

    Raises:
        DatasetError: The folder does not exist, or has no folders.
    """
    root = Path(directory)
    if not root.is_dir():
        raise DatasetError(f"The data set folder '{root}' does not exist or is not a folder.")
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "_", "~")))
    if not found:
        raise DatasetError(f"The data set folder '{root}' has no folders: one for each class is needed.")
    return found
