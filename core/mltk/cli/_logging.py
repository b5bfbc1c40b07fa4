"""The console and the log file of a command, as handlers of the logger `mltk`."""

from __future__ import annotations

import logging

import click

from mltk.errors import MltkError
from mltk.utils.files import cache_dir
from mltk.utils.logging import LogFileHandler
from mltk.utils.string_formatting import printable

_COLORS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class _ConsoleHandler(logging.Handler):
    """Handler that writes to the current stderr, which tests and progress bars replace."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.secho(printable(self.format(record), lines=True), err=True, fg=_COLORS.get(record.levelno))
        except Exception:  # noqa: BLE001 - logging must not raise; this is what its own handlers do
            self.handleError(record)


class _LogFileHandler(LogFileHandler):
    """The log file of a command."""


def configure(verbose: bool, console: bool, log_name: str | None) -> None:
    """Give the logger `mltk` a console and a log file, in place of those of an earlier call.

    Args:
        verbose: Show debug messages on the console.
        console: Show anything on the console.
        log_name: Stem of the log file; `None` for none.
    """
    reset()
    logger = logging.getLogger("mltk")
    # Debug messages must reach the log file.
    logger.setLevel(logging.DEBUG)
    # TensorFlow gives the root logger a handler of its own, which would show everything a second time.
    logger.propagate = False
    if console:
        handler = _ConsoleHandler(logging.DEBUG if verbose else logging.INFO)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    if log_name is not None:
        try:
            folder = cache_dir() / "cli_logs"
            folder.mkdir(parents=True, exist_ok=True)
            log_file = _LogFileHandler(folder / f"{log_name}.log", mode="w", encoding="utf-8")
        except (OSError, MltkError) as e:
            # A command can do its work without a log, on a read-only home for instance.
            logger.debug("No log file: %s", e)
            return
        log_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        logger.addHandler(log_file)


def reset() -> None:
    """Take away what `configure` gave."""
    logger = logging.getLogger("mltk")
    for handler in list(logger.handlers):
        if isinstance(handler, _ConsoleHandler | _LogFileHandler):
            logger.removeHandler(handler)
            handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
