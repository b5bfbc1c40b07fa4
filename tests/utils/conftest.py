"""A web server on this machine that can misbehave."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Served:
    """One file of the server, and how it is served."""

    content: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    """For each of the next answers: close the connection after so many bytes."""
    statuses: list[int] = field(default_factory=list)
    """For each of the next answers: answer with this status instead."""
    redirect: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """What is served, and what was asked for."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and `Range` header of each request."""

    def add(self, name: str, content: bytes = b"", **options: object) -> str:
        self.files[f"/{name}"] = Served(content, **options)  # type: ignore[arg-type]
        return f"{self.url}/{name}"


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            served = state.files.get(self.path)
            if served is None:
                self.send_error(404)
                return
            if served.redirect:
                self.send_response(302)
                self.send_header("Location", served.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if served.statuses:
                self.send_response(served.statuses.pop(0))
                for key, value in {"Content-Length": "0", **served.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                return
            start = 0
            match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
            if match and served.ranges and self.headers.get("If-Range", served.etag) == served.etag:
                start = int(match[1])
                if start >= len(served.content):
                    self.send_error(416)
                    return
                self.send_response(206)
                last = len(served.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            else:
                self.send_response(200)
            body = served.content[start:]
            if served.etag:
                self.send_header("ETag", served.etag)
            for key, value in served.headers.items():
                self.send_header(key, value)
            if "Content-Length" not in served.headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: served.cut_after.pop(0)] if served.cut_after else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{httpd.server_port}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()
