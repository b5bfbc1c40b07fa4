"""Standard streams that are closed, or close while a command runs, do not end it."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _LastingFile(io.FileIO):
    """A file that keeps its first write error, and discards everything after it."""

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        if self.error is None:
            try:
                return super().write(data)
            except OSError as e:
                self.error = e
        return memoryview(data).nbytes


def make_streams_last() -> None:
    """Open closed standard streams on the null device, and let stdout and stderr survive write errors.

    A file that is opened while a standard stream is closed would get its number, and with it what libraries print. A
    training run must not end because its terminal, or the reader of its output, is gone.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The smallest free number: this one.
            os.open(os.devnull, os.O_RDWR)
    # Python sets closed streams to None.
    if cast("TextIO | None", sys.stdin) is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - by its number, for the process
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    is_buffered = True
    if stream is not None:
        # A console of Windows is no file, and tests replace the streams.
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        if type(_raw(stream)) is not io.FileIO:
            return stream
        stream.flush()
        # With `python -u`, it writes to the file itself.
        is_buffered = _raw(stream) is not stream.buffer
    raw = _LastingFile(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if is_buffered else cast("io.BufferedWriter", raw),
        encoding=stream.encoding if stream else "utf-8",
        errors=(stream.errors if stream else None) or "backslashreplace",
        line_buffering=stream.line_buffering if stream else True,
        write_through=stream.write_through if stream else False,
    )


def flush_streams() -> str | None:
    """Flush stdout and stderr; return why stdout could not be written, if anything was lost.

    A reader that stopped reading (`| head`) has what it wants.
    """
    sys.stderr.flush()
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    error = raw.error if isinstance(raw, _LastingFile) else None
    return error.strerror if error is not None and error.errno != errno.EPIPE else None


def _raw(stream: TextIO) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
