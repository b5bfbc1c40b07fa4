"""Files that are either whole or not there, and the folders mltk keeps its own in."""

from __future__ import annotations

import os
import secrets
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
    # Not created here: whoever writes it does so with the permissions of an ordinary new file.
    temporary = final.with_name(f".{final.name[:64]}.{secrets.token_hex(4)}.tmp{suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
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
