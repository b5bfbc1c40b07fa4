"""Normalization and listing of paths, and folders in the cache directory of mltk."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mltk.errors import MltkError
from mltk.reference_names import late_names
from mltk.utils.files import cache_dir


def fullpath(path: str | os.PathLike[str]) -> str:
    """Return `path` as an absolute path with forward slashes, `~` and environment variables resolved."""
    absolute = Path(os.path.expandvars(path)).expanduser().absolute()
    return Path(os.path.normpath(absolute)).as_posix()


def create_user_dir(suffix: str = "", base_dir: str | os.PathLike[str] | None = None) -> str:
    """Create a folder and return its path.

    Args:
        suffix: Path below the base folder.
        base_dir: The base folder; `None` means mltk's own (`MLTK_CACHE_DIR`, or `~/.mltk`).

    Returns:
        The absolute path, with forward slashes.

    Raises:
        MltkError: The folder cannot be made.
    """
    base = cache_dir() if base_dir is None else base_dir
    folder = fullpath(Path(base, suffix.replace("\\", "/").lstrip("/")))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "" if base_dir is not None else " Set MLTK_CACHE_DIR to a folder that you may write to."
        raise MltkError(f"The folder '{folder}' cannot be made: {error.strerror}.{hint}") from error
    return folder


def recursive_listdir(
    base_dir: str | os.PathLike[str],
    followlinks: bool = True,
    regex: str | re.Pattern[str] | Callable[[str], object] | None = None,
    return_relative_paths: bool = False,
) -> list[str]:
    """List all files below a folder.

    Args:
        base_dir: The folder.
        followlinks: Follow symbolic links to folders.
        regex: Keep only paths that match this expression from their start, or for which this function returns
            something true. It sees the paths as they are returned.
        return_relative_paths: Return paths relative to `base_dir` instead of absolute ones.

    Returns:
        The paths, sorted, with forward slashes.
    """
    base = fullpath(base_dir)
    if regex is None:
        wanted: Callable[[str], object] = bool
    elif callable(regex):
        wanted = regex
    else:
        wanted = re.compile(regex).match
    visited: set[str] = set()
    found: list[str] = []
    for folder, subfolders, files in os.walk(base, followlinks=followlinks):
        real = os.path.realpath(folder)
        if real in visited:
            # A link to a folder above itself.
            subfolders.clear()
            continue
        visited.add(real)
        for name in files:
            path = Path(folder, name)
            text = (path.relative_to(base) if return_relative_paths else path).as_posix()
            if wanted(text):
                found.append(text)
    return sorted(found)


if not TYPE_CHECKING:
    __getattr__ = late_names(__name__)
