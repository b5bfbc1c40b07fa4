"""Locks between processes; the end of a process releases its locks."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_guard = threading.Lock()


@dataclass
class _Held:
    file: IO[str]
    times: int = 0


# By this process. With its id, since a forked child gets a copy of this but none of the locks.
_held: dict[tuple[int, Path], _Held] = {}


class LockedError(Exception):
    """Another process holds the lock.

    Attributes:
        pid: The process, 0 where it cannot be told.
        purpose: What it said that it does.
    """

    def __init__(self, pid: int, purpose: str) -> None:
        super().__init__(f"locked by the process {pid}")
        self.pid = pid
        self.purpose = purpose


@contextlib.contextmanager
def locked(
    path: str | os.PathLike[str], purpose: str = "", wait: bool = False, must_exist: bool = False
) -> Iterator[None]:
    """Hold a lock within the block; the lock is reentrant within a process.

    The lock is a file, which is there while it is held. One that a killed process left holds nobody up. On a file
    system that knows no locks, there is none.

    Args:
        path: The file; its folder exists.
        purpose: One line for whoever finds it locked.
        wait: Wait for another process that has it.
        must_exist: Raise where the file does not exist, or its file system knows no locks.

    Raises:
        LockedError: Another process has it, and `wait` is not set.
        OSError: The file cannot be written, or `must_exist` is set and there is no file or no lock.
    """
    key = (os.getpid(), Path(path).resolve())
    with _guard:
        if key not in _held:
            _held[key] = _Held(_acquire(key[1], purpose, wait, must_exist))
        _held[key].times += 1
    try:
        yield
    finally:
        with _guard:
            _held[key].times -= 1
            if not _held[key].times:
                _release(_held.pop(key).file, key[1])


def _acquire(path: Path, purpose: str, wait: bool, must_exist: bool) -> IO[str]:
    while True:
        file = path.open("r+" if must_exist else "a+", encoding="utf-8")
        try:
            _lock(file, wait, must_exist)
        except OSError as e:
            file.seek(0)
            pid, _, purpose = file.readline().strip().partition(" ")
            file.close()
            if e.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise LockedError(int(pid) if pid.isdigit() else 0, purpose) from e
            raise
        # Whoever had it has removed the file in between: then this is a lock on nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                _describe(file, f"{os.getpid()} {purpose}\n")
                return file
        file.close()


def _describe(file: IO[str], text: str) -> None:
    # On a full disk it is a lock all the same.
    with contextlib.suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), text.encode())


def _release(file: IO[str], path: Path) -> None:
    if sys.platform == "win32":
        # An open file cannot be removed there, and another process may have it open by now.
        file.close()
    # Before the lock ends, so that the file of whoever takes it next is not removed.
    with contextlib.suppress(OSError):
        path.unlink()
    file.close()


if sys.platform == "win32":
    import msvcrt
    import time

    # Far behind the text: what is locked cannot be read by others there.
    _LOCKED_BYTE = 1 << 30

    def _lock(file: IO[str], wait: bool, is_needed: bool) -> None:
        while True:
            file.seek(_LOCKED_BYTE)
            try:
                return msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    raise
                time.sleep(0.1)

else:
    import fcntl

    def _lock(file: IO[str], wait: bool, is_needed: bool) -> None:
        # Of the POSIX kind, which a forked child does not inherit: one that outlives a killed training holds nothing.
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as e:
            if is_needed or e.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
