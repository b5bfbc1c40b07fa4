"""Files that are either whole or not there, and the folders mltk keeps its own in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; move it to `path` when the block ends well.

    Missing parent folders are made. When the block raises, the temporary file is removed and what stood
    at `path` before is untouched. The temporary name ends like the final one, because Keras and matplotlib choose the
    format by the ending.

    Args:
        path: The final path.

    Yields:
        The temporary path; it does not exist yet.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(final.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=f".{final.name[:64]}.", suffix=f".tmp{suffix}", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    mode = final.stat().st_mode & 0o777 if final.exists() else 0o666 & ~_umask()
    temporary.unlink()
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write `content` (text as UTF-8) to `path` by way of a temporary file.

    Returns:
        The path written.
    """
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def cache_dir() -> Path:
    """Return the folder for logs, data sets and downloads: `MLTK_CACHE_DIR`, or `~/.mltk` (not created here)."""
    configured = os.environ.get("MLTK_CACHE_DIR")
    return Path(configured).expanduser() if configured else Path.home() / ".mltk"


def _umask() -> int:
    # There is no way to read the umask without setting it.
    value = os.umask(0o022)
    os.umask(value)
    return value
