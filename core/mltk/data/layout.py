"""Look at the folder of a data set, for templates of `mltk new`: parts, classes, files, groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mltk.data.groups import find_group_pattern
from mltk.data.listing import list_valid_filenames_in_directory
from mltk.data.parts import find_part_folders

_SMALL = 3000
"""Data sets with fewer training files do without a validation part if they have test files."""


@dataclass(frozen=True)
class FolderLayout:
    """A data set in a folder."""

    folder: Path
    """The folder of the data set."""
    training: Path
    """The folder with the class folders for training: `folder`, or its `train`."""
    files: Mapping[str, Sequence[str]]
    """Training files of each class, relative to `training`; without those of `test_list` and `validation_list`."""
    test: Mapping[str, int] = field(default_factory=dict)
    """Number of test files of each class, in the folder `test` or in `test_list`."""
    validation: Mapping[str, int] = field(default_factory=dict)
    """The same for the folder `val` or `validation_list`."""
    test_list: str | None = None
    """`testing_list.txt`, if the data set has it."""
    validation_list: str | None = None
    """`validation_list.txt`, if the data set has it."""
    group_pattern: str | None = None
    """Regular expression for the group of a file, if the names tell groups; see `mltk.data.groups`."""
    groups: int = 0
    """Number of groups of the training files."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted(self.files)

    @property
    def count(self) -> int:
        """Number of training files."""
        return sum(map(len, self.files.values()))

    def sample(self, most: int = 200) -> list[Path]:
        """Return the paths of at most `most` training files, evenly from all classes."""
        each = max(1, most // max(1, len(self.files)))
        return [
            self.training / path
            for paths in self.files.values()
            for path in paths[:: max(1, len(paths) // each)][:each]
        ]


def read_layout(folder: Path, formats: Iterable[str]) -> FolderLayout | None:
    """Describe a data set, or return `None` if no class folder has a file with one of these endings.

    Class folders have the names that do not start with `.`, `_` or `~`. Test files are those in the folder `test`
    beside `train`, or those that `testing_list.txt` names; validation files likewise.

    Args:
        folder: Folder of the data set.
        formats: File name endings, in any case.
    """
    endings = tuple(formats)
    parts = find_part_folders(folder, ())
    training = parts.get("training", folder)
    files = _list_classes(training, endings)
    test = _count(parts.get("evaluation"), endings)
    validation = _count(parts.get("validation"), endings)
    lists: dict[str, str] = {}
    for subset, name in (("test", "testing_list.txt"), ("validation", "validation_list.txt")):
        listed = _read_list(training / name, files)
        if listed:
            lists[subset] = name
            files = {label: [p for p in paths if p not in listed] for label, paths in files.items()}
            counts = Counter(path.split("/")[0] for path in listed)
            test, validation = (counts, validation) if subset == "test" else (test, counts)
    files = {label: paths for label, paths in files.items() if paths}
    if not files:
        return None
    pattern, groups = find_group_pattern(files)
    return FolderLayout(
        folder=folder,
        training=training,
        files=files,
        test=dict(test),
        validation=dict(validation),
        test_list=lists.get("test"),
        validation_list=lists.get("validation"),
        group_pattern=pattern,
        groups=groups,
    )


def _list_classes(folder: Path, formats: tuple[str, ...]) -> dict[str, list[str]]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_", "~")))
    found = {name: list_valid_filenames_in_directory(folder, name, formats)[1] for name in names}
    return {name: paths for name, paths in found.items() if paths}


def _count(folder: Path | None, formats: tuple[str, ...]) -> dict[str, int]:
    if folder is None:
        return {}
    return {label: len(paths) for label, paths in _list_classes(folder, formats).items()}


def _read_list(path: Path, files: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the files that a list names, as far as they exist."""
    if not path.is_file():
        return set()
    known = {file for paths in files.values() for file in paths}
    return known.intersection(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())


@dataclass(frozen=True)
class PartsDraft:
    """How a specification divides a data set into parts."""

    summary: str
    """One sentence for the reader of the specification."""
    code: str
    """Lines that set `test_files`, `validation_files` and `group_by`, with their reasons."""
    validation_split: float


def describe_parts(layout: FolderLayout) -> PartsDraft:
    """Decide how a specification divides a data set; for templates of `mltk new`.

    Test data are used for the evaluation alone. Without validation data, a fifth of the training files is held back,
    group by group where file names tell groups; with test data, small data sets are used whole for training.
    """
    lines: list[str] = []
    if layout.test_list:
        lines += [
            "# These files are for the evaluation alone.",
            f'my_model.test_files = "{layout.test_list}"',
        ]
    if layout.validation_list:
        lines += [
            "# These files watch the training.",
            f'my_model.validation_files = "{layout.validation_list}"',
        ]
    validates = bool(layout.validation)
    split = 0.0 if validates or (layout.test and layout.count < _SMALL) else 0.1 if layout.test else 0.2
    if split and layout.group_pattern:
        lines += [
            f"# File names tell {layout.groups} groups (such as speakers): each is in one part only.",
            f'my_model.group_by = r"{layout.group_pattern}"',
        ]
    if layout.test:
        tested = f"The {sum(layout.test.values()):,} test files are used for the evaluation alone."
    else:
        held = "a fifth of the groups" if layout.group_pattern else "a fifth of the files"
        tested = f"There are no test files: {held} is held back, watches the training and is evaluated."
    if not split and not validates:
        tested += " All training files are used for training: in a small data set, each counts."
    return PartsDraft(tested, "\n".join(lines), split)
