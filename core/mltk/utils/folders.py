"""Atomic writes of folders."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mltk.errors import DatasetError
from mltk.utils.files import sync_folder
from mltk.utils.hasher import generate_hash
from mltk.utils.path import fullpath
from mltk.utils.temporary import temporary_folder

_MARKER = ".mltk-dataset.json"


def write_folder_once(
    folder: str | os.PathLike[str],
    content: Mapping[str, object],
    write: Callable[[Path], object],
    add: bool = False,
    again: bool = False,
) -> str:
    """Write a folder atomically, unless it exists with the same content.

    Args:
        folder: The folder.
        content: What identifies the content; kept in the folder as a hidden file.
        write: Writes everything into the (existing) folder that it is given.
        add: Add to the files that the folder has, in place of those of the same names.
        again: Write it also if it exists with the same content.

    Returns:
        The absolute path of the folder.

    Raises:
        DatasetError: There are files in the folder that were not written by this function, and `add` is not set.
    """
    target = Path(fullpath(folder))
    text = json.dumps(content)
    # What was added to a folder has a marker of its own: there may be several.
    marker = target / (f".mltk-{generate_hash(text)[:8]}.json" if add else _MARKER)
    if not again and marker.is_file() and marker.read_text() == text:
        return target.as_posix()
    if not add and target.exists() and any(target.iterdir()) and not marker.is_file():
        raise DatasetError(
            f"The folder '{target}' has other files in it. Give an empty or a new one as dest_dir."
        )
    with temporary_folder(beside=target) as temporary:
        write(temporary)
        if add:
            merge_folder(temporary, target)
            marker.write_text(text)
        else:
            (temporary / _MARKER).write_text(text)
            replace_folder(temporary, target)
    return target.as_posix()


def replace_folder(source: Path, target: Path) -> None:
    """Move a folder to `target` in place of what is there, which stays if that fails.

    A crash of the machine afterwards loses nothing of it.

    Args:
        source: The folder, on the same file system.
        target: Its new path.
    """
    _sync_all()
    with temporary_folder(beside=target) as trash:
        old = trash / "old"
        if target.exists():
            target.rename(old)
        try:
            source.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
        sync_folder(target.parent)


def merge_folder(source: Path, target: Path) -> None:
    """Move the files of a folder to another one, in place of those of the same names there.

    Args:
        source: The folder, on the same file system.
        target: The other folder.
    """
    _sync_all()
    for path in sorted(source.rglob("*")):
        moved = target / path.relative_to(source)
        if path.is_dir():
            moved.mkdir(parents=True, exist_ok=True)
        else:
            moved.parent.mkdir(parents=True, exist_ok=True)
            path.replace(moved)
    sync_folder(target)


def _sync_all() -> None:
    # One after the other, the files of a data set take minutes: 3 ms each, measured.
    if hasattr(os, "sync"):
        os.sync()
