"""Show the graph of a model in the browser, with Netron's page. No code of the file is run.

Netron's own server also serves the files beside the model, and its page looks up the location of the user and reports
usage over the network. The small server here serves the model and nothing else, and its content security policy
forbids the page all other connections. Other users of the machine, and pages of other sites in the browser, do not know
the random part of the address; a site whose name leads here is refused by the name in its requests.
"""

from __future__ import annotations

import html
import ipaddress
import re
import secrets
import socket
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit

from mltk.errors import ArchiveFileNotFoundError, MltkError, SpecificationError
from mltk.model.operation import operation
from mltk.operations.quantize import load_tflite_model
from mltk.operations.training.build import build_keras_model
from mltk.sources.source import ModelSource
from mltk.tflite import TfliteModel
from mltk.utils.logging import get_mltk_logger
from mltk.utils.temporary import temporary_folder

if TYPE_CHECKING:
    import keras

    from mltk.model.full_model import FullModel
    from mltk.model.model import MltkModel

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 8080

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".ico": "image/x-icon",
    ".png": "image/png",
}
_ASSET = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_-]*)(\.[a-z]+)")
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "object-src 'none'",
        "frame-src 'none'",
        "form-action 'none'",
        "base-uri 'none'",
    )
)


def view_model(
    model: MltkModel | TfliteModel | keras.Model | str | Path,
    host: str | None = None,
    port: int | None = None,
    test: bool = False,
    build: bool = False,
    tflite: bool = False,
    timeout: float | None = 7.0,
    *,
    browser: bool = True,
    trust: bool = False,
) -> None:
    """Show the graph of a model in the browser; needs `pip install mltk-core[view]`.

    Args:
        model: Model, name, path of a specification, archive, `.tflite`, `.keras` or `.h5` file, or a `TfliteModel` or
            `keras.Model`. No code is run from an archive or a model file.
        host: Name or address to serve at; `localhost` by default, which nobody else can reach.
        port: Port to serve at; by default 8080, or any free one where that is taken.
        test: Use the trial run's files.
        build: Show the model that the specification builds, trained or not; with `tflite`, train a throw-away trial
            model and convert that.
        tflite: Show the quantized model instead of the Keras model.
        timeout: Seconds to serve the page, which needs the server only until the model is shown; `None`: until Ctrl-C.
        browser: Open the page in the user's browser.
        trust: Allow an archive's own specification to run, which `build` needs.

    Raises:
        MltkError: Netron is not installed, or the port is taken.
        ModelNotFoundError: There is no such model.
        ArchiveFileNotFoundError: It was not trained yet.
    """
    pages = _netron_folder()
    name, content = _load(ModelSource.of(model, test=test), build, tflite, trust)
    with _serve(pages, name, content, host or DEFAULT_HOST, port) as url:
        try:
            get_mltk_logger().info(f"{name} is shown at {url}" + ("" if timeout else " (Ctrl-C stops)"))
            if browser:
                webbrowser.open(url)
            threading.Event().wait(timeout)
        except KeyboardInterrupt:
            # The way to stop it.
            return


def _netron_folder() -> Path:
    """Return the folder with Netron's page; the package itself is not imported."""
    spec = find_spec("netron")
    if spec is None or spec.origin is None:
        raise MltkError(
            "To view models, Netron must be installed. Install it with: pip install 'mltk-core[view]'"
        )
    return Path(spec.origin).parent


def _load(source: ModelSource, build: bool, tflite: bool, trust: bool) -> tuple[str, bytes]:
    """Return the file name and the content of the model to show."""
    if source.is_model_file:
        return _load_model_file(source, build)
    if build:
        mltk_model = cast("FullModel", source.specification(trust=trust))
        if tflite:
            return f"{mltk_model.name}.tflite", load_tflite_model(mltk_model, build=True).flatbuffer_data
        with operation(mltk_model):
            content = _keras_bytes(build_keras_model(mltk_model))
        mltk_model.raise_failures()
        return f"{mltk_model.name}.keras", content
    try:
        has_keras = not tflite and source.member(".keras") in source.archive().names()
        ending = ".tflite" if tflite else ".keras" if has_keras else ".h5"
        return source.member(ending), source.content(ending)
    except ArchiveFileNotFoundError as e:
        advice = "Or view it as it is built, untrained: --build (in Python: build=True)."
        raise ArchiveFileNotFoundError(f"{e} {advice}") from None


def _load_model_file(source: ModelSource, build: bool) -> tuple[str, bytes]:
    if build:
        raise SpecificationError(
            f"{source} cannot be built: give the name or the .py file of a specification."
        )
    if source.path is not None:
        return source.path.name, source.path.read_bytes()
    if isinstance(source.built, TfliteModel):
        return f"{source.name}.tflite", source.built.flatbuffer_data
    return f"{source.name}.keras", _keras_bytes(source.built)


def _keras_bytes(keras_model: keras.Model) -> bytes:
    with temporary_folder() as folder:
        path = folder / "model.keras"
        keras_model.save(path)
        return path.read_bytes()


@contextmanager
def _serve(pages: Path, name: str, content: bytes, host: str, port: int | None) -> Iterator[str]:
    """Serve the page and the model within the block.

    Yields:
        The address to open.
    """
    root = f"/{secrets.token_urlsafe(16)}/"
    model_path = f"data/{quote(name)}"
    served = {
        "pages": pages,
        "root": root,
        "model_path": root + model_path,
        "model": content,
        "index": _index(pages, name, model_path),
        "host_name": host,
    }
    server = _listen(host, port, type("Handler", (_Handler,), served))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}{root}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    # A browser keeps connections open; they must not keep this process.
    block_on_close = False
    daemon_threads = True

    def __init__(self, family: int, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = family
        super().__init__(address, handler)


def _listen(host: str, port: int | None, handler: type[BaseHTTPRequestHandler]) -> _Server:
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError as e:
        raise MltkError(f"The host '{host}' cannot be served at: {e.strerror}.") from e
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            return _Server(family, (host, candidate), handler)
        except OSError as e:
            failure = e
        except OverflowError:
            raise MltkError(f"{port} is not a port: it must be from 0 to 65535.") from None
    raise MltkError(
        f"Port {port or DEFAULT_PORT} of {host} cannot be served at: {failure.strerror}. Choose another with --port."
    ) from failure


def _index(pages: Path, name: str, model_path: str) -> bytes:
    """Return Netron's start page for a model that is served at `model_path`, relative to the page.

    The version 0.0.0 is that of its developers, who do not report their own usage; the date keeps the page from asking
    for an update before it shows anything.
    """
    page = (pages / "index.html").read_text(encoding="utf-8")
    shown = html.escape(name)
    address = html.escape(model_path)
    metas = "".join(
        f'<meta name="{key}" content="{value}">\n'
        for key, value in (
            ("type", "Python"),
            ("version", "0.0.0"),
            ("file", address),
            ("name", shown),
            ("identifier", shown),
        )
    )
    page, versions = re.subn(r'<meta name="version" content="[^"]*">\n?', lambda _: metas, page)
    today = f'<meta name="date" content="{datetime.now(UTC):%Y-%m-%d %H:%M:%S}">'
    page, dates = re.subn(r'<meta name="date" content="[^"]*">', today, page)
    if (versions, dates) != (1, 1):
        raise MltkError(
            f"The installed Netron {version('netron')} has a start page that mltk does not know. "
            f"Install another version: pip install 'mltk-core[view]'"
        )
    return page.encode()


class _Handler(BaseHTTPRequestHandler):
    """Answers with Netron's page and its scripts, and with the one model."""

    pages: Path
    root: str
    model_path: str
    model: bytes
    index: bytes
    host_name: str

    protocol_version = "HTTP/1.1"
    server_version = "mltk"
    sys_version = ""

    def do_GET(self) -> None:
        """Send the page, one of its files, or the model."""
        path = urlsplit(self.path).path
        asset = _ASSET.fullmatch(path.removeprefix(self.root))
        if not self._is_meant():
            self.send_error(403)
        elif not path.startswith(self.root):
            self.send_error(404)
        elif path in (self.root, f"{self.root}index.html"):
            self._send(self.index, _TYPES[".html"])
        elif path == self.model_path:
            self._send(self.model, "application/octet-stream")
        elif asset and asset[2] in _TYPES and (file := self.pages / asset[0]).is_file():
            self._send(file.read_bytes(), _TYPES[asset[2]])
        else:
            self.send_error(404)

    def do_HEAD(self) -> None:
        """Send what GET would, without the content."""
        self.do_GET()

    def _is_meant(self) -> bool:
        """Return whether the request names this server: another site's name can be made to lead here."""
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            own = {"localhost", self.host_name, socket.gethostname()}
            return name in {known.lower() for known in own}
        return True

    def _send(self, content: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        """Add what keeps the page from speaking to others."""
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        # The page's question whether it may report usage, which it cannot do here.
        self.send_header("Set-Cookie", "consent=1; SameSite=Strict")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the console."""
