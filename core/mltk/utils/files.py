"""Atomic file writes, and the cache directory of mltk."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mltk.errors import MltkError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

# The names that `atomic_path` gives.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.[^.]*){0,2}", re.DOTALL)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds.

    Missing parent folders are made. When the block raises, the temporary file is removed and what stood
    at `path` before is untouched. The temporary name ends like the final one, because Keras and matplotlib choose the
    format by the ending.

    Args:
        path: The final path.

    Yields:
        The temporary path; it does not exist yet.

    Raises:
        MltkError: The disk is full or fails, or the file is too large.
    """
    # A link stays a link: what it points to is replaced.
    final = Path(path).resolve() if Path(path).is_symlink() else Path(path)
    suffix = "".join(final.suffixes[-2:])
    # Not created here: whoever writes it does so with the permissions of an ordinary new file.
    temporary = temporary_path(final, suffix)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if final.exists():
            temporary.chmod(final.stat().st_mode & 0o777)
        replace_file(temporary, final)
    except Exception as e:
        if is_disk_full(e):
            raise MltkError(
                f"{final} cannot be written: the disk is full. Make room on it, then try again."
            ) from e
        if getattr(e, "errno", None) == errno.EFBIG:
            raise MltkError(
                f"{final} cannot be written: it is larger than files may be here (see `ulimit -f`)."
            ) from e
        if getattr(e, "errno", None) == errno.EIO:
            raise MltkError(f"{final} cannot be written: {os.strerror(errno.EIO)}. Check the disk.") from e
        raise
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(source: Path, final: Path) -> None:
    """Move a file to `final`, so that a crash of the machine leaves the old or the new one, complete."""
    with source.open("rb") as written:
        os.fsync(written.fileno())
    source.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can."""
    # Windows opens no folders, and some file systems do not sync them.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary_path(final: Path, suffix: str = "") -> Path:
    """Return an unused path next to `final` that `remove_temporaries` recognizes."""
    return final.with_name(f".{final.name[:64]}.{secrets.token_hex(4)}.tmp{suffix}")


def atomic_write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write `content` (text as UTF-8) to `path` atomically.

    Returns:
        The path written.
    """
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def remove_temporaries(paths: Iterable[Path]) -> None:
    """Remove temporary files of killed processes, except files that another process is writing."""
    for path in paths:
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def is_disk_full(error: BaseException) -> bool:
    """Return true if an error, or a cause of it, reports a full disk or an exceeded quota."""
    cause: BaseException | None = error
    while cause is not None:
        # HDF5 hands the system's words on, within errors of several kinds.
        if getattr(cause, "errno", None) in _NO_SPACE or any(os.strerror(n) in str(cause) for n in _NO_SPACE):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def cache_dir() -> Path:
    """Return the folder for logs, data sets and downloads: `MLTK_CACHE_DIR`, or `~/.mltk` (not created here).

    Raises:
        MltkError: It cannot be a folder.
    """
    folder = os.environ.get("MLTK_CACHE_DIR") or "~/.mltk"
    try:
        path = Path(folder).expanduser()
        if stat.S_ISDIR(path.stat().st_mode):
            return path
        reason = "it is a file"
    # `expanduser` does not know the user.
    except RuntimeError as e:
        reason = str(e).rstrip(".")
    except (FileNotFoundError, PermissionError):
        return path
    except OSError as e:
        reason = str(e.strerror)
    raise MltkError(f"'{folder}' cannot be mltk's folder: {reason}. Set MLTK_CACHE_DIR to another one.")
