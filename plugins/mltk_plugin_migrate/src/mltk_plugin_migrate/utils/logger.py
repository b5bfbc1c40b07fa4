"""Loggers: `mltk.utils.logger`."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Level = str | int


class _Console(logging.StreamHandler[TextIO]):
    """Messages on stdout, as it is when they are written."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


def get_logger(
    name: str = "mltk",
    level: Level = "INFO",
    console: bool = False,
    log_file: str | os.PathLike[str] | None = None,
    log_file_mode: str = "w",
    parent: logging.Logger | None = None,
    base_level: Level = "DEBUG",
    file_level: Level = "DEBUG",
) -> logging.Logger:
    """Return a logger.

    Args:
        name: Name of the logger.
        level: Level of messages on the console.
        console: Write messages to stdout.
        log_file: Write messages to this file.
        log_file_mode: `w`, or `a` to append.
        parent: Logger that receives the messages, too.
        base_level: Level of the logger.
        file_level: Level of messages in the file.
    """
    logger = logging.getLogger(name)
    logger.setLevel(get_level(base_level))
    if parent is not None:
        logger.parent = parent
    if console:
        add_console_logger(logger, level)
    if log_file is not None:
        handler = logging.FileHandler(log_file, log_file_mode, encoding="utf-8")
        handler.setLevel(get_level(file_level))
        logger.addHandler(handler)
    return logger


def add_console_logger(logger: logging.Logger, level: Level = "INFO") -> None:
    """Let a logger write to stdout, once."""
    if not any(isinstance(handler, _Console) for handler in logger.handlers):
        logger.addHandler(_Console(sys.stdout))
    set_console_level(logger, level)


def set_console_level(logger: logging.Logger, level: Level | None) -> str | None:
    """Set the level of a logger's console, if it has one; return the previous level."""
    for handler in logger.handlers:
        if isinstance(handler, _Console) and level is not None:
            previous = get_level(handler.level)
            handler.setLevel(get_level(level))
            return previous
    return None


def get_level(level: Level) -> str:
    """Return the name of a level."""
    return level.upper() if isinstance(level, str) else logging.getLevelName(level)


@contextmanager
def ConsoleLoggerLevelContext(logger: logging.Logger, level: Level) -> Iterator[None]:  # noqa: N802 - silabs-mltk's name
    """Set the level of a logger's console for a while."""
    previous = set_console_level(logger, level)
    try:
        yield
    finally:
        set_console_level(logger, previous)


class _Writer:
    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger, self._level, self._rest = logger, level, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._logger.log(self._level, line.rstrip())
        return len(text)

    def flush(self) -> None:
        if self._rest.strip():
            self.write("\n")


def make_filelike(logger: logging.Logger, level: Level = logging.INFO) -> logging.Logger:
    """Give a logger `write` and `flush`, so that it can stand for a file; return it."""
    writer = _Writer(logger, logging.getLevelNamesMapping()[get_level(level)])
    vars(logger).update(write=writer.write, flush=writer.flush)
    return logger


def redirect_stream(
    logger: logging.Logger, stream: TextIO | str = "stderr", close_atexit: bool = True
) -> Callable[[], None]:
    """Send what Python code writes to `stdout` or `stderr` to a logger; return a function that ends it.

    Args:
        logger: The logger.
        stream: `stdout` or `stderr`.
        close_atexit: End it when the program ends.
    """
    name = stream if isinstance(stream, str) else stream.name.strip("<>")
    original = getattr(sys, name)
    setattr(sys, name, _Writer(logger, logging.INFO))

    def close() -> None:
        setattr(sys, name, original)

    if close_atexit:
        atexit.register(close)
    return close


def timing_decorator(f: F, level: Level = "INFO") -> F:
    """Log the duration of each call of a function with the logger `mltk`."""

    @functools.wraps(f)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = f(*args, **kwargs)
        number = logging.getLevelNamesMapping()[get_level(level)]
        logging.getLogger("mltk").log(number, "%s took: %ss", f.__name__, time.perf_counter() - start)
        return result

    return timed  # type: ignore[return-value]  # it has the signature of `f`


class DummyLogger:
    """A logger that discards everything."""

    def write(self, *args: object, **kwargs: object) -> None:
        """Discard a message."""

    debug = info = warning = error = exception = flush = write
