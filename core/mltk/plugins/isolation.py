"""Undo what plugins change in the process, and name a plugin that takes long to import."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

PATIENCE = 3.0
"""Seconds after which a plugin that is still being imported is reported."""


@contextmanager
def contained() -> Iterator[None]:
    """Restore the working directory and the warning filters; redirect stdout to stderr.

    Other programs read stdout, which has results only.
    """
    folder = _working_directory()
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            if folder is not None and _working_directory() != folder:
                os.chdir(folder)


@contextmanager
def contained_import() -> Iterator[None]:
    """Restore what `contained` restores, and the global random state."""
    state = sys.modules["random"].getstate() if "random" in sys.modules else None
    with contained():
        try:
            yield
        finally:
            random = sys.modules.get("random")
            if random is not None:
                # If the module was not imported before, no code depends on its state.
                random.seed() if state is None else random.setstate(state)


@contextmanager
def named_when_slow(current: Callable[[], str]) -> Iterator[None]:
    """Print a message to stderr, once for each plugin, about an import that takes longer than `PATIENCE`.

    Args:
        current: Returns the message about the current import.
    """
    done = threading.Event()

    def watch() -> None:
        before = ""
        said = set()
        while not done.wait(PATIENCE / 2):
            now = current()
            if now == before and now not in said:
                said.add(now)
                print(f"mltk: {now}", file=sys.stderr)
            before = now

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - called for each plugin, and compared
    # The folder was removed.
    except OSError:
        return None
