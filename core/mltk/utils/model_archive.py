"""The model archive `<name>.mltk.zip`: one deterministic ZIP file, replaced as a whole.

Reading never trusts the file: member names, kinds, counts and sizes are checked before anything is extracted.
"""

from __future__ import annotations

import glob
import io
import os
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from mltk.errors import ArchiveFileNotFoundError, FileFormatError, MltkError
from mltk.utils.files import atomic_path, remove_temporaries, temporary_path
from mltk.utils.locks import locked

ARCHIVE_EXTENSION = ".mltk.zip"

MAX_MEMBERS = 20_000
MAX_MEMBER_BYTES = 2 << 30
MAX_TOTAL_BYTES = 4 << 30
# Weights shrink to a half, text to a tenth. What unpacks to more than this many times the file is made to fill memory.
_MAX_RATIO = 100
_ANY_RATIO_BYTES = 64 << 20
# `zipfile` reads the whole directory of members, at least 46 bytes each, before it can be asked how many there are.
_MAX_DIRECTORY_BYTES = MAX_MEMBERS * 256

# The smallest date that ZIP can express; the real dates of an archive are in its records.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class ModelArchive:
    """A model archive on disk, which need not exist yet.

    Args:
        path: The `.mltk.zip` file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def names(self) -> list[str]:
        """Return the checked member names, sorted; empty when the file does not exist.

        Raises:
            FileFormatError: The file is no ZIP file or has members that must not be extracted.
        """
        if not self.path.exists():
            return []
        with self._open() as archive:
            return sorted(info.filename for info in _checked(archive, self.path))

    def read(self, name: str) -> bytes:
        """Return the content of one member.

        Raises:
            ArchiveFileNotFoundError: The archive or the member does not exist.
            FileFormatError: The archive is damaged.
        """
        if not self.path.exists():
            raise ArchiveFileNotFoundError(f"There is no model archive {self.path}. Train the model first.")
        with self._open() as archive:
            if name not in {info.filename for info in _checked(archive, self.path)}:
                raise ArchiveFileNotFoundError(f"The archive {self.path} does not contain '{name}'.")
            return self._read_member(archive, name)

    def extract(self, names: Iterable[str], folder: Path) -> list[Path]:
        """Write members into `folder` under their own relative names and return the paths."""
        wanted = list(names)
        paths = []
        with self._open() as archive:
            checked = {info.filename for info in _checked(archive, self.path)}
            for name in wanted:
                if name not in checked:
                    raise ArchiveFileNotFoundError(f"The archive {self.path} does not contain '{name}'.")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._read_member(archive, name))
                paths.append(target)
        return paths

    def update(self, members: Mapping[str, bytes | Path], remove: Iterable[str] = ()) -> None:
        """Add or replace members, drop others, and put the new archive in place of the old one in one step.

        Args:
            members: Content, or the file that holds it, by member name.
            remove: Prefixes of names to drop first, e.g. `eval/h5/`; `""` drops everything.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # What another process adds between reading and writing would be lost.
        with locked(self.path.with_name(f".{self.path.name}.lock"), wait=True):
            remove_temporaries(self.path.parent.glob(glob.escape(f".{self.path.name[:64]}.") + "*"))
            self._update(members, tuple(remove))

    def replace_with(self, other: Path) -> None:
        """Put another archive, which is whole, in place of this one in one step; the other is gone then."""
        lock = locked(self.path.with_name(f".{self.path.name}.lock"), wait=True)
        with lock, atomic_path(self.path) as temporary:
            shutil.copyfile(other, temporary)
        other.unlink()

    def _update(self, members: Mapping[str, bytes | Path], prefixes: tuple[str, ...]) -> None:
        content: dict[str, bytes | Path] = {}
        if self.path.exists() and "" not in prefixes:
            with self._open() as archive:
                for info in _checked(archive, self.path):
                    name = info.filename
                    if name not in members and not name.startswith(prefixes or ("\0",)):
                        content[name] = self._read_member(archive, name)
        content.update(members)
        with atomic_path(self.path) as temporary, zipfile.ZipFile(temporary, "w") as out:
            for name in sorted(content):
                _check_name(name, self.path)
                value = content[name]
                info = zipfile.ZipInfo(name, _ZIP_EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                out.writestr(info, value.read_bytes() if isinstance(value, Path) else value, compresslevel=6)

    def check_writable(self) -> None:
        """Raise `MltkError` when the archive could not be written to its folder."""
        if os.environ.get("MLTK_READONLY"):
            raise MltkError(f"The archive {self.path} cannot be written: MLTK_READONLY is set.")
        if self.path.is_dir():
            raise MltkError(
                f"The archive {self.path} cannot be written: a folder of that name is in the way."
            )
        probe = temporary_path(self.path)
        try:
            probe.write_bytes(b"")
            probe.unlink()
            if self.path.exists() and not os.access(self.path, os.W_OK):
                raise PermissionError(13, "the file is read-only")
        except OSError as e:
            raise MltkError(
                f"The archive {self.path} cannot be written: {e.strerror or e}. "
                f"Make the folder writable, or copy the specification to one that is."
            ) from e

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        if not self.path.is_file():
            # A pipe would wait for somebody to write into it.
            raise FileFormatError(f"{self.path} is not a file.")
        with ExitStack() as stack:
            try:
                file = stack.enter_context(_BoundedReader(self.path))
                archive = stack.enter_context(zipfile.ZipFile(file))
            except MltkError:
                raise
            # zipfile answers damage with exceptions of many kinds: IndexError, struct.error, UnicodeDecodeError, …
            except Exception as e:
                raise FileFormatError(f"{self.path} is not a readable model archive: {e}.") from e
            file.is_bounded = False
            yield archive

    def _read_member(self, archive: zipfile.ZipFile, name: str) -> bytes:
        try:
            with archive.open(name) as member:
                # One byte more than declared tells a member whose header lies about its size.
                data = member.read(archive.getinfo(name).file_size + 1)
        except Exception as e:
            raise FileFormatError(f"'{name}' in the archive {self.path} is damaged: {e}.") from e
        if len(data) != archive.getinfo(name).file_size:
            raise FileFormatError(f"'{name}' in the archive {self.path} does not have its declared size.")
        return data


class _BoundedReader(io.BufferedReader):
    """An archive's file from which, at first, nothing longer than the directory of a sound archive is read at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._path = path
        self.is_bounded = True

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.is_bounded:
            return super().read(size)
        within = size is not None and 0 <= size <= _MAX_DIRECTORY_BYTES
        data = super().read(size if within else _MAX_DIRECTORY_BYTES + 1)
        if len(data) > _MAX_DIRECTORY_BYTES:
            raise FileFormatError(
                f"The archive {self._path} has more than {MAX_MEMBERS} members, or is no archive."
            )
        return data


def _checked(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    members = [info for info in archive.infolist() if not info.filename.endswith("/")]
    if len(members) > MAX_MEMBERS:
        raise FileFormatError(
            f"The archive {path} has {len(members)} members; at most {MAX_MEMBERS} are read."
        )
    seen = set()
    total = 0
    most = min(MAX_TOTAL_BYTES, max(_ANY_RATIO_BYTES, _MAX_RATIO * path.stat().st_size))
    for info in members:
        _check_name(info.filename, path)
        if info.filename in seen:
            raise FileFormatError(f"The archive {path} contains '{info.filename}' twice.")
        seen.add(info.filename)
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise FileFormatError(f"'{info.filename}' in the archive {path} is not a plain file.")
        total += info.file_size
        if info.file_size > MAX_MEMBER_BYTES or total > most:
            raise FileFormatError(f"The archive {path} is too large when unpacked ('{info.filename}').")
    return members


def _check_name(name: str, path: Path) -> None:
    parts = PurePosixPath(name).parts
    unsafe = (
        not parts
        or name.startswith("/")
        or "\\" in name
        or ":" in name
        or ".." in parts
        or any(ord(c) < 32 or ord(c) == 127 for c in name)
    )
    if unsafe:
        raise FileFormatError(f"The archive {path} has a member with an unsafe name: {name!r}.")
