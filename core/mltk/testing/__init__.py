"""Help for tests of plugins: an import check, and two fixtures (see `mltk.testing.pytest_plugin`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

__all__ = ["HEAVY", "assert_imports_light"]

HEAVY = ("cv2", "keras", "matplotlib", "numpy", "scipy", "sklearn", "tensorflow")
"""Modules that `mltk --help`, and thus hook modules, must not import."""


def assert_imports_light(module: str, forbidden: Sequence[str] = HEAVY) -> None:
    """Raise an error if importing `module`, in a new interpreter, imports any of `forbidden`.

    Args:
        module: Name of a module, e.g. `mltk_plugin_mine.plugin`.
        forbidden: Modules that must not be imported.

    Raises:
        AssertionError: One of them was imported, or importing the module failed.
    """
    code = f"import sys, {module}; print(*[m for m in {list(forbidden)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"Importing {module} failed:\n{done.stderr}")
    if done.stdout.strip():
        raise AssertionError(f"Importing {module} imports {', '.join(done.stdout.split())}.")
