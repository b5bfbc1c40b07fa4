"""Extract archives that come from elsewhere.

Only regular files and folders are made, all below the destination and of bounded number and size. What is
extracted appears at the destination as a whole or not at all.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from mltk.errors import FileFormatError, MltkError
from mltk.reference_names import late_names
from mltk.utils.folders import merge_folder, replace_folder
from mltk.utils.temporary import temporary_folder

_7Z_MAGIC = b"7z\xbc\xaf\x27\x1c"
_SINGLE_FILE_OPENERS: dict[bytes, Callable[[Path], BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_CHUNK = 1 << 20

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Member:
    """One entry of an archive."""

    name: str
    open: Callable[[], IO[bytes] | BufferedIOBase] | None
    """Opens the content; `None` for a folder and for a link."""
    link: str | None = None
    """What a link points to, as a path within the archive."""


def extract_archive(
    archive_path: str | os.PathLike[str],
    dest_dir: str | os.PathLike[str],
    extract_nested: bool = False,
    remove_root_dir: bool = False,
    clean_dest_dir: bool = True,
    max_files: int = 1_000_000,
    max_bytes: int = 64 << 30,
    prepare: Callable[[Path], object] | None = None,
) -> str:
    """Extract an archive: zip, tar (plain, gz, bz2, xz), 7z, or one compressed file.

    7z needs the package `py7zr`.

    Args:
        archive_path: The archive.
        dest_dir: The folder to extract to.
        extract_nested: Also extract the archives in the archive, each into the folder where it lies.
        remove_root_dir: If everything is in one folder, extract its content instead of it.
        clean_dest_dir: Replace the destination; else add to it.
        max_files: Greatest number of entries.
        max_bytes: Greatest size of all files together.
        prepare: Called with the folder of extracted files before it is moved to the destination.

    Returns:
        The destination.

    Raises:
        FileFormatError: The archive is damaged or of another kind, too large, or has an entry that would
            be written outside of the destination. Nothing is left of it then.
    """
    archive, destination = Path(archive_path), Path(dest_dir)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(beside=destination) as temporary:
        _extract(archive, temporary, max_files, max_bytes)
        if extract_nested:
            _extract_inner(temporary, max_files, max_bytes)
        root = _only_folder(temporary) if remove_root_dir else temporary
        if prepare is not None:
            prepare(root)
        if clean_dest_dir:
            replace_folder(root, destination)
        else:
            merge_folder(root, destination)
    return destination.as_posix()


def _extract(archive: Path, folder: Path, max_files: int, max_bytes: int) -> int:
    """Extract to an existing folder; return the number of bytes written."""
    with archive.open("rb") as file:
        magic = file.read(8)
    try:
        if magic.startswith(_7Z_MAGIC):
            return _extract_7z(archive, folder, max_files, max_bytes)
        with ExitStack() as stack:
            with _reading(archive):
                members = _members(archive, magic, stack)
            return _write_members(archive, _each(archive, members), folder, max_files, max_bytes)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise FileFormatError(f"The archive '{archive}' has a file and a folder of the same name.") from error


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what a damaged archive makes its reader raise into one error."""
    try:
        yield
    except MltkError:
        raise
    # zipfile and tarfile answer damage with exceptions of many kinds: OSError (a seek to nowhere), zlib.error, …
    except Exception as error:
        raise FileFormatError(f"The archive '{archive}' is damaged: {error}.") from error


def _each(archive: Path, items: Iterator[_T]) -> Iterator[_T]:
    """Return the items of an iterator that reads from the archive."""
    while True:
        with _reading(archive):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def _members(archive: Path, magic: bytes, stack: ExitStack) -> Iterator[_Member]:
    # Not zipfile.is_zipfile: it also accepts a tar file with a zip file at its end.
    if magic.startswith(b"PK"):
        return _zip_members(archive, stack.enter_context(zipfile.ZipFile(archive)))
    opener = next((o for start, o in _SINGLE_FILE_OPENERS.items() if magic.startswith(start)), None)
    try:
        opened = stack.enter_context(tarfile.TarFile.open(archive, errorlevel=1))
        # To tarfile, a compressed file of zeros is an archive without entries.
        if opener is None or opened.next() is not None:
            return _tar_members(archive, opened)
    except tarfile.ReadError:
        # Not a tar file.
        pass
    if opener is None:
        raise FileFormatError(f"'{archive}' is not an archive of a known kind (zip, tar, gz, bz2, xz, 7z).")
    return iter([_Member(archive.stem, lambda: opener(archive))])


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    def opener(info: zipfile.ZipInfo) -> Callable[[], IO[bytes] | BufferedIOBase]:
        return lambda: opened.open(info)

    for info in opened.infolist():
        if info.flag_bits & 1:
            raise FileFormatError(f"The archive '{archive}' is encrypted.")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FileFormatError(
                f"The archive '{archive}' has a link, '{info.filename}'; links are not extracted."
            )
        yield _Member(info.filename, None if info.is_dir() else opener(info))


def _tar_members(archive: Path, opened: tarfile.TarFile) -> Iterator[_Member]:
    def opener(info: tarfile.TarInfo) -> Callable[[], IO[bytes] | BufferedIOBase]:
        return lambda: opened.extractfile(info)  # type: ignore[return-value]  # not None for a regular file

    for info in opened:
        if info.isdir():
            yield _Member(info.name, None)
        elif info.isreg():
            yield _Member(info.name, opener(info))
        elif info.islnk():
            yield _Member(info.name, None, link=info.linkname)
        elif info.issym():
            yield _Member(
                info.name, None, link=os.path.normpath(PurePosixPath(info.name).parent / info.linkname)
            )
        else:
            raise FileFormatError(f"The archive '{archive}' has a device or pipe, '{info.name}'.")


def _write_members(
    archive: Path, members: Iterator[_Member], folder: Path, max_files: int, max_bytes: int
) -> int:
    written = 0
    for count, member in enumerate(members, start=1):
        if count > max_files:
            raise FileFormatError(f"The archive '{archive}' has more than {max_files:,} entries.")
        target = _target(archive, folder, member.name)
        if member.link is not None:
            # A copy stands in for the link: no link is ever made, so none can be written through.
            source = _target(archive, folder, member.link)
            if not source.is_file():
                raise FileFormatError(
                    f"The archive '{archive}' has a link, '{member.name}', to '{member.link}', "
                    "which is not a file that comes before it."
                )
            written += source.stat().st_size
            _check_size(archive, written, max_bytes)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        elif member.open is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _reading(archive):
                source_file = member.open()
            with source_file, target.open("wb") as target_file:
                # Counted while copying: the sizes that an archive declares can be wrong.
                for chunk in _each(archive, iter(partial(source_file.read, _CHUNK), b"")):
                    written += len(chunk)
                    _check_size(archive, written, max_bytes)
                    target_file.write(chunk)
    return written


def _extract_7z(archive: Path, folder: Path, max_files: int, max_bytes: int) -> int:
    try:
        py7zr = import_module("py7zr")
    except ModuleNotFoundError as error:
        if error.name != "py7zr":
            raise
        raise MltkError(
            f"Extracting '{archive}' needs the package 'py7zr'. Install it with: pip install py7zr"
        ) from error
    try:
        with py7zr.SevenZipFile(archive) as opened:
            infos = opened.list()
            if len(infos) > max_files:
                raise FileFormatError(f"The archive '{archive}' has more than {max_files:,} entries.")
            for info in infos:
                _target(archive, folder, info.filename)
                if not (info.is_file or info.is_directory):
                    raise FileFormatError(
                        f"The archive '{archive}' has a link, '{info.filename}'; links are not extracted."
                    )
            size = sum(info.uncompressed for info in infos)
            _check_size(archive, size, max_bytes)
            opened.extractall(folder)
    except (py7zr.exceptions.ArchiveError, py7zr.Bad7zFile) as error:
        raise FileFormatError(f"The archive '{archive}' is damaged: {error}.") from error
    return int(size)


def _target(archive: Path, folder: Path, name: str) -> Path:
    """Return where an entry goes; raise if that is not below `folder`."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or re.match("[A-Za-z]:", name):
        raise FileFormatError(
            f"The archive '{archive}' has an entry, '{name}', that would be written outside of the "
            "destination. Nothing was extracted."
        )
    return folder / path


def _check_size(archive: Path, written: int, max_bytes: int) -> None:
    if written > max_bytes:
        raise FileFormatError(f"The archive '{archive}' holds more than {max_bytes:,} bytes when extracted.")


def _extract_inner(folder: Path, max_files: int, max_bytes: int) -> None:
    suffixes = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name.lower().endswith(suffixes):
            max_bytes -= _extract(path, path.parent, max_files, max_bytes)
            path.unlink()


def _only_folder(folder: Path) -> Path:
    # macOS adds its own folder to zip files.
    entries = [entry for entry in folder.iterdir() if entry.name != "__MACOSX"]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


if not TYPE_CHECKING:
    __getattr__ = late_names(__name__)
