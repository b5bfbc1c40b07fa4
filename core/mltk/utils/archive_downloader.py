"""Download files and archives: over https, checked, resumed where they broke off, and put in place whole."""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from mltk.errors import DownloadError, FileFormatError
from mltk.utils.archive import extract_archive
from mltk.utils.files import atomic_write, cache_dir
from mltk.utils.hasher import hash_file
from mltk.utils.path import create_user_dir, fullpath

if TYPE_CHECKING:
    import requests

ATTEMPTS = 5
"""How many times in a row a download may fail without receiving anything new."""

TIMEOUT = 30.0
"""Seconds without an answer or new data after which an attempt has failed."""

OFFLINE_VARIABLE = "MLTK_OFFLINE"
"""Environment variable: when it is set, nothing is downloaded, and what is in place is used as it is."""

_CHUNK = 1 << 18
_ALGORITHM_OF_LENGTH = {32: "md5", 40: "sha1", 64: "sha256"}
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 30.0


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
) -> str:
    """Download an archive, compare its checksum, and extract it.

    With `MLTK_OFFLINE` set, a destination that has files is returned as it is, and else an archive that is there is
    extracted, whatever its checksum.

    Args:
        url: Address of the archive; http on other machines is taken as https.
        dest_dir: Folder to extract to; `None` means `dest_subdir` in mltk's own folder.
        dest_subdir: Path below mltk's own folder; `None` means the archive's name without its ending.
        download_dir: Folder for the archive; `None` means `downloads` in mltk's own folder.
        archive_fname: Name of the downloaded file; `None` means its name in `url`.
        show_progress: Show a progress bar, or lines in the log where there is no terminal.
        file_hash: Expected checksum of the archive, hexadecimal: MD5, SHA-1 or SHA-256. Without it the log
            gets a warning.
        file_hash_algorithm: `md5`, `sha1`, `sha256`, or `auto` to tell by the length.
        logger: Where to report; `None` means mltk's own.
        extract_nested: Also extract archives in the archive.
        remove_root_dir: If everything in the archive is in one folder, extract its content instead of it.
        clean_dest_dir: Replace the destination; else add to it. A folder with files that were not put there
            by this function is not replaced.
        update_onchange_only: Do nothing if this archive was extracted there before.
        download_details_fname: Name of the file in the destination that remembers what was extracted;
            `None` means `<archive_fname>-mltk.json`.
        extract: Extract; else only download.
        allow_http: Allow unencrypted http to other machines.

    Returns:
        Path of the destination, or of the downloaded file if `extract` is false.

    Raises:
        DownloadError: The address cannot be reached or is refused, the checksum differs, or the archive
            is not usable. The destination is then what it was before.
    """
    logger = logger or logging.getLogger("mltk")
    name = archive_fname or _name_of(url)
    checksum = _Checksum.parse(file_hash, file_hash_algorithm)
    archive = Path(create_user_dir(base_dir=download_dir or cache_dir() / "downloads")) / name
    destination = Path(fullpath(dest_dir or cache_dir() / (dest_subdir or _stem(name))))
    details_name = download_details_fname or f"{name}-mltk.json"
    details = {"url": url, "file_hash": checksum and checksum.digest, "remove_root_dir": remove_root_dir}

    with _only_one(archive):
        if extract and update_onchange_only and _read_json(destination / details_name) == details:
            return destination.as_posix()
        if extract and _is_offline() and destination.is_dir() and any(destination.iterdir()):
            logger.info("Using the data in %s as they are, because %s is set", destination, OFFLINE_VARIABLE)
            return destination.as_posix()
        if extract and clean_dest_dir:
            _refuse_foreign_files(destination)
        _Transfer(url, archive, checksum, show_progress, allow_http, logger).run()
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
            raise DownloadError(f"What was downloaded from {url} cannot be used. {error}") from error
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
) -> str:
    """Download a file, unless it is already there.

    While it is incomplete it is called `<dst_path>.part`, and a later call goes on from there if the
    file at `url` is still the same. With `MLTK_OFFLINE` set, a file that is there is used whatever its checksum.

    Args:
        url: Address of the file; http on other machines is taken as https.
        dst_path: Where to put the file. A file that is there with another checksum is downloaded anew.
        show_progress: Show a progress bar, or lines in the log where there is no terminal.
        logger: Where to report; `None` means mltk's own.
        file_hash: Expected checksum, hexadecimal: MD5, SHA-1 or SHA-256.
        file_hash_algorithm: `md5`, `sha1`, `sha256`, or `auto` to tell by the length.
        allow_http: Allow unencrypted http to other machines.

    Returns:
        The absolute path of the file.

    Raises:
        DownloadError: The address cannot be reached or is refused, or the checksum differs.
    """
    path = Path(fullpath(dst_path))
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = _Checksum.parse(file_hash, file_hash_algorithm)
    with _only_one(path):
        _Transfer(url, path, checksum, show_progress, allow_http, logger or logging.getLogger("mltk")).run()
    return path.as_posix()


def mirrored_url(url: str, folder: str) -> str:
    """Return the address of a data set's file on the mirror that `MLTK_DATASET_MIRROR` names, or `url`.

    Args:
        url: The original address.
        folder: Name of the data set; the mirror has the file as `<mirror>/<folder>/<file name>`.
    """
    mirror = os.environ.get("MLTK_DATASET_MIRROR", "").rstrip("/")
    return f"{mirror}/{folder}/{_name_of(url)}" if mirror else url


@dataclass(frozen=True)
class _Checksum:
    algorithm: str
    digest: str

    @classmethod
    def parse(cls, digest: str | None, algorithm: str) -> _Checksum | None:
        if not digest:
            return None
        known = {value: key for key, value in _ALGORITHM_OF_LENGTH.items()}
        name = _ALGORITHM_OF_LENGTH.get(len(digest)) if algorithm == "auto" else algorithm.lower()
        digest = digest.lower()
        if name is None or len(digest) != known.get(name) or set(digest) - set("0123456789abcdef"):
            raise DownloadError(f"'{digest}' is not an MD5, SHA-1 or SHA-256 checksum in hexadecimal digits.")
        return cls(name, digest)


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Transfer:
    """The download of one file."""

    def __init__(
        self,
        url: str,
        path: Path,
        checksum: _Checksum | None,
        show_progress: bool,
        allow_http: bool,
        logger: logging.Logger,
    ) -> None:
        if not allow_http:
            url = _secured(url)
        _check_address(url, allow_http)
        self.url = url
        self.path = path
        self.checksum = checksum
        self.show_progress = show_progress
        self.allow_http = allow_http
        self.logger = logger
        self.part = path.with_name(f"{path.name}.part")
        self.state = path.with_name(f"{path.name}.part.json")

    def run(self) -> None:
        """Bring the file to `path`."""
        if self.path.is_file():
            if self._matches(self.path):
                self.logger.debug("Already there: %s", self.path)
                return
            if _is_offline():
                self.logger.warning(
                    "%s has another checksum; used all the same, because %s is set",
                    self.path,
                    OFFLINE_VARIABLE,
                )
                return
            self.logger.info("%s has another checksum; downloading it anew", self.path)
        if self.checksum is None:
            self.logger.warning(
                "No checksum is given for %s: what is downloaded cannot be verified.", self.url
            )
        resumed = self.part.is_file()
        # It is whole if only the move into place was missing.
        if not resumed or self.checksum is None or not self._matches(self.part):
            self._download()
        if not self._matches(self.part) and resumed:
            # What was there before may have been damaged, or part of another version of the file.
            self._forget_part()
            self._download()
        if self.checksum is not None and not self._matches(self.part):
            actual = hash_file(self.part, self.checksum.algorithm)
            self._forget_part()
            raise DownloadError(
                f"{self.url} has the {self.checksum.algorithm} checksum {actual}, but {self.checksum.digest} "
                "was expected: the file has changed or was damaged on its way. It was not kept."
            )
        self.part.replace(self.path)
        self.state.unlink(missing_ok=True)

    def _matches(self, path: Path) -> bool:
        return self.checksum is None or hash_file(path, self.checksum.algorithm) == self.checksum.digest

    def _forget_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _download(self) -> None:
        """Download to `part`, from where it ends, with as many attempts as it takes."""
        if _is_offline():
            raise DownloadError(
                f"{self.url} is not downloaded, because {OFFLINE_VARIABLE} is set. "
                f"Put the file at '{self.path}', or unset the variable."
            )
        self.logger.info("Downloading %s", self.url)
        failures = 0
        with _progress(self.path.name, self.show_progress, self.logger) as report:
            while True:
                size_before = self._part_size()
                try:
                    self._attempt(report)
                    return
                except _TryAgainError as error:
                    failures = 1 if self._part_size() > size_before else failures + 1
                    if failures >= ATTEMPTS:
                        raise DownloadError(
                            f"Cannot download {self.url}: {error}. A later attempt goes on from there."
                        ) from error
                    wait = max(error.wait, 0.5 * 2**failures)
                    self.logger.info("%s; trying again in %.0f s", error, wait)
                    time.sleep(min(wait, _LONGEST_WAIT))

    def _part_size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _attempt(self, report: Callable[[int, int | None], None]) -> None:
        import requests
        import urllib3

        offset, headers = self._resume_headers()
        # What is stored is what the checksum is of, so no compression on the way.
        headers["Accept-Encoding"] = "identity"
        with requests.Session() as session:
            # No proxy for this machine itself.
            session.trust_env = urlsplit(self.url).scheme == "https"
            session.hooks["response"] = [self._check_redirect]
            try:
                with session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                    self._check_status(response)
                    if response.status_code == 200:
                        offset = 0
                    elif _range_start(response) != offset:
                        self._forget_part()
                        raise _TryAgainError("the server sent another part of the file than was asked for")
                    self._receive(response, offset, report)
            except (urllib3.exceptions.HTTPError, requests.ConnectionError, requests.Timeout) as error:
                raise _TryAgainError(_reason(error)) from error
            except requests.RequestException as error:
                raise DownloadError(f"Cannot download {self.url}: {_reason(error)}.") from error

    def _resume_headers(self) -> tuple[int, dict[str, str]]:
        """Return how much is there already, and headers that ask for the rest if the file is the same."""
        offset = self._part_size()
        state = _read_json(self.state)
        if not offset or not isinstance(state, dict) or state.get("url") != self.url:
            return 0, {}
        validator = state.get("validator")
        if validator:
            return offset, {"Range": f"bytes={offset}-", "If-Range": str(validator)}
        # Nothing tells whether the file is still the same, except the checksum at the end.
        return (offset, {"Range": f"bytes={offset}-"}) if self.checksum else (0, {})

    def _receive(
        self, response: requests.Response, offset: int, report: Callable[[int, int | None], None]
    ) -> None:
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdigit() else None
        atomic_write(self.state, json.dumps({"url": self.url, "validator": _validator(response)}))
        try:
            with self.part.open("ab" if offset else "wb") as file:
                report(offset, total)
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    offset += len(chunk)
                    report(offset, total)
        except OSError as error:
            # The connection's errors are no OSError: urllib3 has its own.
            raise DownloadError(f"Cannot write {self.part}: {error.strerror}.") from error
        if total is not None and offset < total:
            raise _TryAgainError(f"the connection ended after {offset:,} of {total:,} bytes")

    def _check_redirect(self, response: requests.Response, **_: Any) -> None:
        if response.is_redirect:
            _check_address(urljoin(response.url, response.headers["Location"]), self.allow_http)

    def _check_status(self, response: requests.Response) -> None:
        code = response.status_code
        if code == 416:
            # The part is as long as the file or longer, so it is of another version.
            self._forget_part()
            raise _TryAgainError("the server has less than was downloaded before")
        if code in _TRANSIENT_STATUS:
            wait = response.headers.get("Retry-After", "")
            raise _TryAgainError(
                f"the server answered {code} {response.reason}", float(wait) if wait.isdigit() else 0.0
            )
        if code not in (200, 206):
            raise DownloadError(f"Cannot download {self.url}: the server answered {code} {response.reason}.")


def _is_offline() -> bool:
    return bool(os.environ.get(OFFLINE_VARIABLE))


def _secured(url: str) -> str:
    """Return the https address in place of an http address of another machine."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or _is_this_machine(parts.hostname):
        return url
    return parts._replace(scheme="https").geturl()


def _check_address(url: str, allow_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and (allow_http or _is_this_machine(parts.hostname)):
        return
    raise DownloadError(f"'{url}' is not downloaded: only https addresses are.")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _range_start(response: requests.Response) -> int | None:
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def _validator(response: requests.Response) -> str | None:
    """Return what `If-Range` may be given: a strong entity tag, or else the date of the last change."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _reason(error: BaseException) -> str:
    """Return the innermost message of the chains that requests and urllib3 wrap around an error."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (a for a in error.args if isinstance(a, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error, http.client.IncompleteRead):
        return "the connection broke off"
    text = str(error).rpartition(": ")[2] if "object at 0x" in str(error) else str(error)
    return text.rstrip(".") or type(error).__name__


def _name_of(url: str) -> str:
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if not name or name in (".", ".."):
        raise DownloadError(f"'{url}' has no file name; give one with archive_fname.")
    return name


def _stem(name: str) -> str:
    stem = Path(name).stem
    return stem.removesuffix(".tar")


def _refuse_foreign_files(destination: Path) -> None:
    if destination.is_dir() and any(destination.iterdir()) and not any(destination.glob("*-mltk.json")):
        raise DownloadError(
            f"The folder '{destination}' holds files that were not downloaded, so it is not replaced. "
            "Choose another, or give clean_dest_dir=False to add to it."
        )


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Not there, or cut off: as good as never written.
        return None


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Wait until no other process downloads to `path`, and keep others waiting."""
    try:
        import fcntl
    except ModuleNotFoundError:
        # Windows, where the second one fails because the file is open.
        yield
        return
    lock_path = path.with_name(f".{path.name}.lock")
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        # Only after a success, when one that waits has nothing left to do.
        lock_path.unlink(missing_ok=True)


@contextmanager
def _progress(name: str, wanted: bool, logger: logging.Logger) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function to call with the bytes received so far and the total."""
    from rich.console import Console

    console = Console(stderr=True)
    if not wanted:
        yield lambda received, total: None
    elif console.is_terminal:
        from rich import progress

        with progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as bar:
            task = bar.add_task(name, total=None)
            yield lambda received, total: bar.update(task, completed=received, total=total)
    else:
        tenths = -1

        def report(received: int, total: int | None) -> None:
            nonlocal tenths
            if total and received * 10 // total > tenths:
                tenths = received * 10 // total
                logger.info("%s: %d %% of %.1f MB", name, tenths * 10, total / 1e6)

        yield report
