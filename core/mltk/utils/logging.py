"""The loggers of mltk: children of `mltk` in the standard `logging` tree."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

_logger: logging.Logger | None = None


def get_mltk_logger() -> logging.Logger:
    """Return the logger of operations; `mltk` by default."""
    return _logger or logging.getLogger("mltk")


def set_mltk_logger(logger: logging.Logger | None) -> None:
    """Set the logger of operations; `None` restores `mltk`."""
    global _logger
    _logger = logger


class LogFileHandler(logging.FileHandler):
    """A log file whose write errors, such as a full disk, are ignored."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Ignore write errors; a failing operation reports its own error."""

    def close(self) -> None:
        """Close the file; buffered text may be lost."""
        with contextlib.suppress(OSError):
            super().close()


def file_logger(name: str, path: Path, parent: logging.Logger | None = None) -> logging.Logger:
    """Return a child of `parent` that also writes all messages, with timestamps, to a new file `path`."""
    logger = (parent or get_mltk_logger()).getChild(name)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = LogFileHandler(path, mode="w", encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    return logger
