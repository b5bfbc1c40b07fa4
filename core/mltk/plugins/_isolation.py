"""Keep what foreign code does to the process from everyone else, and name the plugin that one waits for."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

PATIENCE = 3.0
"""Seconds after which a plugin that is still being imported is named."""


@contextmanager
def contained() -> Iterator[None]:
    """Undo changes of the working directory and of the warning filters; what is printed goes to stderr.

    Results go to stdout, which other programs read.
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
    """Undo what `contained` does, and a change of the global random state."""
    state = sys.modules["random"].getstate() if "random" in sys.modules else None
    with contained():
        try:
            yield
        finally:
            random = sys.modules.get("random")
            if random is not None:
                # Where it was not imported before, nobody has its state: a fresh one will do.
                random.seed() if state is None else random.setstate(state)


@contextmanager
def named_when_slow(current: Callable[[], str]) -> Iterator[None]:
    """Say on stderr, once for each, what has not ended for some seconds.

    Args:
        current: Returns what runs now, as a sentence to print.
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
    # It was removed.
    except OSError:
        return None
