"""Folders, compressed files and checksums: names of `mltk.utils.path`, `archive` and `archive_downloader`."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import gzip
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from re import Pattern

from mltk.errors import DownloadError
from mltk.sources.search import user_settings
from mltk.utils.archive import extract_archive
from mltk.utils.files import atomic_path, cache_dir
from mltk.utils.hasher import hash_file
from mltk.utils.path import fullpath, recursive_listdir

PathLike = str | os.PathLike[str]


def create_tempdir(subdir: str = "") -> str:
    """Create the folder `mltk` of the user in the system's temporary folder, or `subdir` of it; return its path."""
    base = Path(os.environ.get("MLTK_TEMP_DIR") or Path(tempfile.gettempdir(), f"mltk-{getpass.getuser()}"))
    folder = base / subdir.replace("\\", "/").lstrip("/")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.as_posix()


def create_dir(path: PathLike) -> str:
    """Create a folder, or that of a file with an extension; return its path."""
    folder = Path(fullpath(path))
    folder = folder.parent if has_filename(folder) else folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_posix()


def remove_directory(path: PathLike) -> None:
    """Remove a folder with its content; one that does not exist is passed over."""
    if path and Path(path).exists():
        shutil.rmtree(path)


def clean_directory(path: PathLike) -> None:
    """Remove all files below a folder, and keep the folders."""
    for file in recursive_listdir(path, followlinks=False):
        Path(file).unlink()


def copy_directory(src: PathLike, dst: PathLike, exclude_dirs: list[str] | None = None) -> None:
    """Copy the files of a folder that are missing or older in another folder.

    Args:
        src: Folder to copy.
        dst: Folder to copy to.
        exclude_dirs: Paths whose content is left out.
    """
    excluded = tuple(fullpath(folder) for folder in exclude_dirs or ())
    for file in recursive_listdir(src, return_relative_paths=True):
        source, target = Path(src, file), Path(dst, file)
        if fullpath(source).startswith(excluded) and excluded:
            continue
        if not target.exists() or source.stat().st_mtime - target.stat().st_mtime > 1:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def get_user_setting(name: str, default: object = None) -> object:
    """Return an entry of `user_settings.yaml`."""
    return user_settings().get(name, default)


def extension(path: PathLike) -> str:
    """Return the extension of a path without the dot."""
    return Path(path).suffix.removeprefix(".")


def has_filename(path: PathLike) -> bool:
    """Return True if the last part of a path has an extension."""
    return bool(Path(path).suffix)


def set_file_last_modified(file_path: PathLike, dt: datetime.datetime | None = None) -> None:
    """Set the time of the last change of a file; the start of the year 2000 by default."""
    seconds = (dt or datetime.datetime(2000, 1, 1)).timestamp()
    os.utime(file_path, (seconds, seconds))


def file_is_newer(source_path: PathLike, other_path: PathLike) -> bool:
    """Return True if both files exist and the first was changed later."""
    files = Path(source_path), Path(other_path)
    return all(f.exists() for f in files) and files[0].stat().st_mtime > files[1].stat().st_mtime


def walk_with_depth(
    base_dir: PathLike, depth: int = 1, followlinks: bool = True
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what `os.walk` yields, for at most `depth` levels below a folder."""
    top = Path(base_dir)
    for folder, folders, files in os.walk(top, followlinks=followlinks):
        yield folder, folders, files
        if len(Path(folder).relative_to(top).parts) >= depth:
            folders.clear()


@contextlib.contextmanager
def pushd(new_dir: PathLike) -> Iterator[None]:
    """Work in another folder."""
    with contextlib.chdir(new_dir):
        yield


def gzip_file(src_path: PathLike, dst_path: PathLike | None = None) -> str:
    """Compress a file; return the path of the result, by default `<src_path>.gz`."""
    target = Path(dst_path or f"{os.fspath(src_path)}.gz")
    with (
        atomic_path(target) as temporary,
        Path(src_path).open("rb") as file,
        gzip.open(temporary, "wb") as out,
    ):
        shutil.copyfileobj(file, out)
    return target.as_posix()


def gzip_directory_files(
    src_dir: PathLike,
    dst_archive: PathLike | None = None,
    regex: str | Pattern[str] | Callable[[str], object] | None = None,
) -> str:
    """Write the files of a folder to a `.tar.gz`; return its path.

    Args:
        src_dir: The folder.
        dst_archive: The archive; by default `<src_dir>.tar.gz`.
        regex: Include only relative paths that match (see `mltk.utils.path.recursive_listdir`).
    """
    target = Path(fullpath(dst_archive or f"{fullpath(src_dir)}.tar.gz"))
    files = recursive_listdir(src_dir, regex=regex, return_relative_paths=True)
    with atomic_path(target) as temporary, tarfile.open(temporary, "w:gz") as archive:
        for file in files:
            if Path(fullpath(src_dir), file) != target:
                archive.add(Path(src_dir, file), file)
    return target.as_posix()


def verify_file_hash(file_path: PathLike, file_hash: str, file_hash_algorithm: str = "auto") -> bool:
    """Return True if a file has a checksum: MD5, SHA-1 or SHA-256 (`auto`: by its length)."""
    by_length = {32: "md5", 40: "sha1", 64: "sha256"}
    algorithm = by_length.get(len(file_hash)) if file_hash_algorithm == "auto" else file_hash_algorithm
    return algorithm is not None and hash_file(file_path, algorithm) == file_hash.lower()


def verify_sha1(file_path: PathLike, expected_sha1: str) -> None:
    """Check the SHA-1 of a file.

    Raises:
        DownloadError: It is another one.
    """
    _check(file_path, expected_sha1, "sha1")


def verify_sha256(file_path: PathLike, expected_sha256: str) -> None:
    """Check the SHA-256 of a file (see `verify_sha1`)."""
    _check(file_path, expected_sha256, "sha256")


def verify_extract(
    archive_path: PathLike,
    dest_dir: PathLike | None = None,
    dest_subdir: str | None = None,
    file_hash: str | None = None,
    file_hash_algorithm: str = "auto",
    extract_nested: bool = False,
    remove_root_dir: bool = False,
    clean_dest_dir: bool = True,
    **_: object,
) -> str:
    """Check and extract an archive (see `mltk.utils.archive.extract_archive`); return the folder.

    Raises:
        DownloadError: The archive has another checksum.
        FileFormatError: The archive is damaged.
    """
    if file_hash is not None:
        _check(archive_path, file_hash, file_hash_algorithm)
    folder = dest_dir or cache_dir() / (dest_subdir or Path(archive_path).stem.removesuffix(".tar"))
    return extract_archive(archive_path, folder, extract_nested, remove_root_dir, clean_dest_dir)


def _check(path: PathLike, expected: str, algorithm: str) -> None:
    if not verify_file_hash(path, expected, algorithm):
        raise DownloadError(f"'{os.fspath(path)}' does not have the checksum {expected} that was expected.")
