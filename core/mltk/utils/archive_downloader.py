"""Download files and archives: over https, checked, resumed where they broke off, and put in place whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mltk.errors import DownloadError, FileFormatError
from mltk.reference_names import late_names
from mltk.utils.archive import extract_archive
from mltk.utils.download import (
    MAX_BYTES,
    MAX_SECONDS,
    OFFLINE_VARIABLE,
    Checksum,
    Transfer,
    is_offline,
    read_json,
)
from mltk.utils.files import cache_dir
from mltk.utils.path import create_user_dir, fullpath


def download_verify_extract(
    url: str,
    dest_dir: str | os.PathLike[str] | None = None,
    dest_subdir: str | None = None,
    download_dir: str | os.PathLike[str] | None = None,
    archive_fname: str | None = None,
    show_progress: bool = False,
    file_hash: str | None = None,
    file_hash_algorithm: str = "auto",
    logger: logging.Logger | None = None,
    extract_nested: bool = False,
    remove_root_dir: bool = False,
    clean_dest_dir: bool = True,
    update_onchange_only: bool = True,
    download_details_fname: str | None = None,
    extract: bool = True,
    allow_http: bool = False,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> str:
    """Download an archive, compare its checksum, and extract it.

    With `MLTK_OFFLINE` set, a destination with files is returned unchanged; otherwise an existing archive is extracted,
    whatever its checksum.

    Args:
        url: Address of the archive; http on other machines is taken as https.
        dest_dir: Folder to extract to; by default `dest_subdir` in the cache folder.
        dest_subdir: Path below the cache folder; by default the archive's name without its ending.
        download_dir: Folder for the archive; by default `downloads` in the cache folder.
        archive_fname: Name of the downloaded file; by default its name in `url`.
        show_progress: Show a progress bar, or lines in the log without a terminal.
        file_hash: Expected checksum of the archive, hexadecimal: MD5, SHA-1 or SHA-256. Without it a warning is
            logged.
        file_hash_algorithm: `md5`, `sha1`, `sha256`, or `auto` to tell by the length.
        logger: Receives messages; by default the logger `mltk`.
        extract_nested: Also extract archives in the archive.
        remove_root_dir: If everything in the archive is in one folder, extract the content of that folder.
        clean_dest_dir: Replace the destination; otherwise add to it. A folder with files that this function did not
            write is not replaced.
        update_onchange_only: Do nothing if this archive was extracted there before.
        download_details_fname: Name of the file in the destination that records what was extracted; by default
            `<archive_fname>-mltk.json`.
        extract: Extract the archive; otherwise only download it.
        allow_http: Allow unencrypted http to other machines.
        max_bytes: Maximum size of the archive.
        max_seconds: Maximum duration of the download.

    Returns:
        Path of the destination, or of the downloaded file if `extract` is false.

    Raises:
        DownloadError: The address cannot be reached or is refused, a limit is exceeded, the checksum differs, or the
            archive is damaged. The destination is then unchanged.
    """
    logger = logger or logging.getLogger("mltk")
    name = archive_fname or _name_of(url)
    checksum = Checksum.parse(file_hash, file_hash_algorithm)
    archive = Path(create_user_dir(base_dir=download_dir or cache_dir() / "downloads")) / name
    destination = Path(fullpath(dest_dir or cache_dir() / (dest_subdir or _stem(name))))
    details_name = download_details_fname or f"{name}-mltk.json"
    details = {"url": url, "file_hash": checksum and checksum.digest, "remove_root_dir": remove_root_dir}

    with _only_one(archive):
        if extract and update_onchange_only and read_json(destination / details_name) == details:
            return destination.as_posix()
        if extract and is_offline() and destination.is_dir() and any(destination.iterdir()):
            logger.info("Using the data in %s as they are, because %s is set", destination, OFFLINE_VARIABLE)
            return destination.as_posix()
        if extract and clean_dest_dir:
            _refuse_foreign_files(destination)
        Transfer(url, archive, logger, checksum, show_progress, allow_http, max_bytes, max_seconds).run()
        if not extract:
            return archive.as_posix()
        logger.info("Extracting %s to %s", archive.name, destination)
        try:
            return extract_archive(
                archive,
                destination,
                extract_nested=extract_nested,
                remove_root_dir=remove_root_dir,
                clean_dest_dir=clean_dest_dir,
                prepare=lambda root: (root / details_name).write_text(json.dumps(details, indent=2)),
            )
        except FileFormatError as error:
            raise DownloadError(f"The file downloaded from {url} cannot be used. {error}") from error
        except OSError as error:
            raise DownloadError(f"Cannot extract to '{destination}': {error.strerror}.") from error


def download_url(
    url: str,
    dst_path: str | os.PathLike[str],
    show_progress: bool = False,
    logger: logging.Logger | None = None,
    file_hash: str | None = None,
    file_hash_algorithm: str = "auto",
    allow_http: bool = False,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> str:
    """Download a file, unless it is already there.

    An incomplete file is called `<dst_path>.part`; a later call continues it if the file at `url` is still the same.
    With `MLTK_OFFLINE` set, an existing file is used whatever its checksum.

    Args:
        url: Address of the file; http on other machines is taken as https.
        dst_path: Path of the file. An existing file with another checksum is downloaded again.
        show_progress: Show a progress bar, or lines in the log without a terminal.
        logger: Receives messages; by default the logger `mltk`.
        file_hash: Expected checksum, hexadecimal: MD5, SHA-1 or SHA-256.
        file_hash_algorithm: `md5`, `sha1`, `sha256`, or `auto` to tell by the length.
        allow_http: Allow unencrypted http to other machines.
        max_bytes: Maximum size of the file.
        max_seconds: Maximum duration of the download.

    Returns:
        The absolute path of the file.

    Raises:
        DownloadError: The address cannot be reached or is refused, a limit is exceeded, or the checksum differs.
    """
    path = Path(fullpath(dst_path))
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logger or logging.getLogger("mltk")
    checksum = Checksum.parse(file_hash, file_hash_algorithm)
    with _only_one(path):
        Transfer(url, path, logger, checksum, show_progress, allow_http, max_bytes, max_seconds).run()
    return path.as_posix()


def mirrored_url(url: str, folder: str) -> str:
    """Return the address of a data set's file on the mirror that `MLTK_DATASET_MIRROR` names, or `url`.

    Args:
        url: The original address.
        folder: Name of the data set; the mirror has the file as `<mirror>/<folder>/<file name>`.
    """
    mirror = os.environ.get("MLTK_DATASET_MIRROR", "").rstrip("/")
    return f"{mirror}/{folder}/{_name_of(url)}" if mirror else url


def _name_of(url: str) -> str:
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if not name or name in (".", ".."):
        raise DownloadError(f"'{url}' has no file name. Give one with archive_fname.")
    return name


def _stem(name: str) -> str:
    stem = Path(name).stem
    return stem.removesuffix(".tar")


def _refuse_foreign_files(destination: Path) -> None:
    if destination.is_dir() and any(destination.iterdir()) and not any(destination.glob("*-mltk.json")):
        raise DownloadError(
            f"The folder '{destination}' has files that were not downloaded, so it is not replaced. "
            "Choose another folder, or add to it with clean_dest_dir=False."
        )


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Wait until no other process downloads to `path`, and keep others waiting."""
    try:
        import fcntl
    except ModuleNotFoundError:
        # Windows: the second one fails because the file is open.
        yield
        return
    lock_path = path.with_name(f".{path.name}.lock")
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        # Only after a success, when a waiting process has nothing left to do.
        lock_path.unlink(missing_ok=True)


if not TYPE_CHECKING:
    __getattr__ = late_names(__name__)
