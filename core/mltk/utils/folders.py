"""Atomic writes of folders."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from mltk.errors import DatasetError
from mltk.utils.hasher import generate_hash
from mltk.utils.path import fullpath

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
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        if add:
            _move_files(temporary, target)
            marker.write_text(text)
            return target.as_posix()
        (temporary / _MARKER).write_text(text)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target.as_posix()


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        moved = target / path.relative_to(source)
        if path.is_dir():
            moved.mkdir(parents=True, exist_ok=True)
        else:
            path.replace(moved)
