"""Temporary folders. What a killed process left is removed when the next one makes such a folder in the same place."""

from __future__ import annotations

import atexit
import contextlib
import glob
import os
import secrets
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from mltk.utils.locks import LockedError, locked

_own: set[Path] = set()


@contextlib.contextmanager
def temporary_folder(beside: Path | None = None) -> Iterator[Path]:
    """Create a folder for the time of the block.

    Args:
        beside: Create it next to this path, so that what is in it can be moved there; by default in the folder of the
            system for temporary files, readable by this user only.

    Yields:
        The folder; a hidden one with `beside`. It may be moved away.
    """
    parent = beside.parent if beside else _private_folder()
    stem = f".{beside.name[:64]}" if beside else "folder"
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent, stem)
    folder = parent / f"{stem}.{secrets.token_hex(4)}.tmp"
    _own.add(folder)
    try:
        # Held as long as this process lives: it tells others that the folder is in use.
        with locked(_lock_of(folder)):
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        _own.discard(folder)


def kept_temporary_folder(owner: object = None) -> Path:
    """Create a temporary folder that is removed when `owner` is collected; without one, when the process ends."""
    stack = contextlib.ExitStack()
    folder = stack.enter_context(temporary_folder())
    if owner is None:
        atexit.register(stack.close)
    else:
        weakref.finalize(owner, stack.close)
    return folder


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_abandoned(parent: Path, stem: str) -> None:
    for lock in parent.glob(f"{glob.escape(stem)}.????????.tmp.lock"):
        folder = lock.with_name(lock.name.removesuffix(".lock"))
        if folder not in _own:
            # On a file system without locks nobody can tell whether it is in use.
            with contextlib.suppress(LockedError, OSError), locked(lock, must_exist=True):
                shutil.rmtree(folder, ignore_errors=True)


def _private_folder() -> Path:
    """Return a folder of this user in the system's folder for temporary files."""
    if not hasattr(os, "getuid"):
        # On Windows that folder is the user's own.
        return Path(tempfile.gettempdir()) / "mltk"
    folder = Path(tempfile.gettempdir()) / f"mltk-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    # Somebody else was first.
    return Path(tempfile.mkdtemp(prefix="mltk-"))
