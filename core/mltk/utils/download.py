"""Download one file: over https, with its checksum compared, resumed where it broke off, within limits."""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from mltk.errors import DownloadError
from mltk.utils.files import atomic_write, replace_file
from mltk.utils.hasher import hash_file

if TYPE_CHECKING:
    import requests

ATTEMPTS = 5
"""How many times in a row a download may fail without receiving anything new."""

TIMEOUT = 30.0
"""Seconds without an answer or new data after which an attempt has failed."""

MAX_BYTES = 64 << 30
"""Maximum size of a file in bytes, unless the caller gives another."""

MAX_SECONDS = 24 * 3600.0
"""Maximum duration of one call in seconds, unless the caller gives another."""

OFFLINE_VARIABLE = "MLTK_OFFLINE"
"""Environment variable: when it is set, nothing is downloaded, and existing files are used as they are."""

_CHUNK = 1 << 18
_ALGORITHM_OF_LENGTH = {32: "md5", 40: "sha1", 64: "sha256"}
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 30.0

Report = Callable[[int, int | None], object]
"""Function that receives the number of bytes so far and the total, which may be unknown."""


@dataclass(frozen=True)
class Checksum:
    """Expected checksum of a file."""

    algorithm: str
    """`md5`, `sha1` or `sha256`."""
    digest: str
    """Lower-case hexadecimal digits."""

    @classmethod
    def parse(cls, digest: str | None, algorithm: str = "auto") -> Checksum | None:
        """Return the checksum, or `None` without a digest.

        Args:
            digest: Hexadecimal digits.
            algorithm: `md5`, `sha1`, `sha256`, or `auto` to tell by the length.

        Raises:
            DownloadError: The digest is not one of this algorithm.
        """
        if not digest:
            return None
        known = {value: key for key, value in _ALGORITHM_OF_LENGTH.items()}
        name = _ALGORITHM_OF_LENGTH.get(len(digest)) if algorithm == "auto" else algorithm.lower()
        digest = digest.lower()
        if name is None or len(digest) != known.get(name) or set(digest) - set("0123456789abcdef"):
            raise DownloadError(f"'{digest}' is not an MD5, SHA-1 or SHA-256 checksum in hexadecimal digits.")
        return cls(name, digest)

    def matches(self, path: Path) -> bool:
        """Return whether a file has this checksum."""
        return hash_file(path, self.algorithm) == self.digest


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Transfer:
    """The download of one file. An incomplete file is `<path>.part`, which a later call continues."""

    url: str
    """Address of the file; http on other machines is taken as https."""
    path: Path
    """The final path."""
    logger: logging.Logger
    """Receives messages."""
    checksum: Checksum | None = None
    """Expected checksum."""
    show_progress: bool = False
    """Show a progress bar, or lines in the log without a terminal."""
    allow_http: bool = False
    """Allow unencrypted http to other machines."""
    max_bytes: int = MAX_BYTES
    """Maximum size of the file."""
    max_seconds: float = MAX_SECONDS
    """Maximum duration of the download."""

    def __post_init__(self) -> None:
        if not self.allow_http:
            self.url = _secured(self.url)
        _check_address(self.url, self.allow_http)
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.state = self.path.with_name(f"{self.path.name}.part.json")
        self.deadline = time.monotonic() + self.max_seconds

    def run(self) -> None:
        """Bring the file to `path`.

        Raises:
            DownloadError: The address cannot be reached or is refused, a limit is exceeded, or the checksum differs.
        """
        if self._is_there():
            return
        if self.checksum is None:
            self.logger.warning("No checksum is given for %s: the download cannot be verified.", self.url)
        resumed = self.part.is_file()
        # It is complete if only the move into place was missing.
        if not resumed or self.checksum is None or not self.checksum.matches(self.part):
            self._download()
        if resumed and self.checksum is not None and not self.checksum.matches(self.part):
            # The earlier part may have been damaged, or part of another version of the file.
            self._forget_part()
            self._download()
        if self.checksum is not None and not self.checksum.matches(self.part):
            actual = hash_file(self.part, self.checksum.algorithm)
            self._forget_part()
            raise DownloadError(
                f"{self.url} has the {self.checksum.algorithm} checksum {actual}, but {self.checksum.digest} "
                "was expected: the file has changed or was damaged on its way. It was not kept."
            )
        try:
            replace_file(self.part, self.path)
        except OSError as error:
            raise DownloadError(f"Cannot write {self.path}: {error.strerror}.") from error
        self.state.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        """Return whether the file exists and can be used."""
        if not self.path.is_file():
            return False
        if self.checksum is None or self.checksum.matches(self.path):
            self.logger.debug("Already there: %s", self.path)
            return True
        if is_offline():
            self.logger.warning(
                "%s has another checksum; it is used because %s is set", self.path, OFFLINE_VARIABLE
            )
            return True
        self.logger.info("%s has another checksum; downloading it again", self.path)
        return False

    def _forget_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _download(self) -> None:
        """Download to `part`, from where it ends, with as many attempts as it takes."""
        if is_offline():
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
                            f"Cannot download {self.url}: {error}. Another attempt continues from there."
                        ) from error
                    wait = min(max(error.wait, 0.5 * 2**failures), _LONGEST_WAIT)
                    self.logger.info("%s; trying again in %.0f s", error, wait)
                    time.sleep(wait)
                    self._check_time()

    def _part_size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise DownloadError(
                f"Cannot download {self.url} within {self.max_seconds / 3600:.3g} h. "
                "Another attempt continues from there."
            )

    def _check_size(self, size: int) -> None:
        if size > self.max_bytes:
            self._forget_part()
            raise DownloadError(
                f"{self.url} is larger than the limit of {self.max_bytes / 1e9:.3g} GB. It was not kept."
            )

    def _attempt(self, report: Report) -> None:
        import requests
        import urllib3

        offset, headers = self._resume_headers()
        # The checksum is that of the stored file, so no compression on the way.
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
            # A header that cannot be parsed raises ValueError in some version of the libraries.
            except (requests.RequestException, ValueError) as error:
                raise DownloadError(f"Cannot download {self.url}: {_reason(error)}.") from error

    def _resume_headers(self) -> tuple[int, dict[str, str]]:
        """Return the size of the part, and headers that ask for the rest if the file is the same."""
        offset = self._part_size()
        state = read_json(self.state)
        if not offset or not isinstance(state, dict) or state.get("url") != self.url:
            return 0, {}
        validator = state.get("validator")
        if validator:
            return offset, {"Range": f"bytes={offset}-", "If-Range": str(validator)}
        # Only the checksum at the end can tell whether the file is still the same.
        return (offset, {"Range": f"bytes={offset}-"}) if self.checksum else (0, {})

    def _receive(self, response: requests.Response, offset: int, report: Report) -> None:
        length = _number(response.headers.get("Content-Length"))
        total = None if length is None else offset + length
        self._check_size(total or 0)
        atomic_write(self.state, json.dumps({"url": self.url, "validator": _validator(response)}))
        try:
            with self.part.open("ab" if offset else "wb") as file:
                report(offset, total)
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    offset += len(chunk)
                    report(offset, total)
                    self._check_size(offset)
                    self._check_time()
                file.flush()
                os.fsync(file.fileno())
        except DownloadError:
            raise
        except OSError as error:
            # Errors of the connection are not OSError: urllib3 has its own.
            raise DownloadError(f"Cannot write {self.part}: {error.strerror}.") from error
        if total is not None and offset < total:
            raise _TryAgainError(f"the connection ended after {offset:,} of {total:,} bytes")

    def _check_redirect(self, response: requests.Response, **_: object) -> None:
        if response.is_redirect:
            _check_address(urljoin(response.url, response.headers["Location"]), self.allow_http)

    def _check_status(self, response: requests.Response) -> None:
        code = response.status_code
        if code == 416:
            # The part is at least as long as the file, so it is of another version.
            self._forget_part()
            raise _TryAgainError("the server has less than was downloaded before")
        if code in _TRANSIENT_STATUS:
            wait = _number(response.headers.get("Retry-After"))
            raise _TryAgainError(f"the server answered {code} {response.reason}", float(wait or 0))
        if code not in (200, 206):
            raise DownloadError(f"Cannot download {self.url}: the server answered {code} {response.reason}.")


def is_offline() -> bool:
    """Return whether `MLTK_OFFLINE` is set."""
    return bool(os.environ.get(OFFLINE_VARIABLE))


def read_json(path: Path) -> object:
    """Return the content of a JSON file; `None` if it is missing or incomplete."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _secured(url: str) -> str:
    """Return the https address in place of an http address of another machine."""
    parts = _split(url)
    if parts.scheme != "http" or not parts.hostname or _is_this_machine(parts.hostname):
        return url
    return parts._replace(scheme="https").geturl()


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise DownloadError(f"'{url}' is not an address: {error}.") from error


def _check_address(url: str, allow_http: bool) -> None:
    parts = _split(url)
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


def _number(text: str | None) -> int | None:
    """Return a number in a header; `None` if it is missing or not a plain number."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _range_start(response: requests.Response) -> int | None:
    return _number(response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0])


def _validator(response: requests.Response) -> str | None:
    """Return a value for `If-Range`: a strong entity tag, or else the date of the last change."""
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


@contextmanager
def _progress(name: str, wanted: bool, logger: logging.Logger) -> Iterator[Report]:
    """Yield a function to call with the number of bytes received so far and the total."""
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
