"""Folders that a program writes as a whole, once."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mltk.errors import DatasetError
from mltk.utils.path import fullpath

_MARKER = ".mltk-dataset.json"


def write_folder_once(
    folder: str | os.PathLike[str], content: Mapping[str, Any], write: Callable[[Path], object]
) -> str:
    """Write a folder by way of a temporary one, unless what is there has the same content.

    Args:
        folder: The folder.
        content: What identifies the content; kept in the folder as a hidden file.
        write: Writes everything into the (existing) folder that it is given.

    Returns:
        The absolute path of the folder.

    Raises:
        DatasetError: There are files in the folder that were not written by this function.
    """
    target = Path(fullpath(folder))
    text = json.dumps(content)
    marker = target / _MARKER
    if marker.is_file() and marker.read_text() == text:
        return target.as_posix()
    if target.exists() and any(target.iterdir()) and not marker.is_file():
        raise DatasetError(
            f"The folder '{target}' has other files in it. Give an empty or a new one as dest_dir."
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        (temporary / _MARKER).write_text(text)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target.as_posix()
