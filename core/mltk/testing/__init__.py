"""What tests of plugins need: two fixtures (see `mltk.testing.pytest_plugin`), and a check on imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

HEAVY = ("cv2", "keras", "matplotlib", "numpy", "scipy", "sklearn", "tensorflow")
"""Modules that nothing may import which `mltk --help` imports."""


def assert_imports_light(module: str, forbidden: Sequence[str] = HEAVY) -> None:
    """Fail if importing `module`, in a fresh interpreter, imports any of `forbidden`.

    Args:
        module: Name of a module, e.g. `mltk_plugin_mine.plugin`.
        forbidden: Names of modules that must not be in `sys.modules` afterwards.

    Raises:
        AssertionError: One of them was imported, or importing the module failed.
    """
    code = f"import sys, {module}; print(*[m for m in {list(forbidden)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"Importing {module} failed:\n{done.stderr}")
    if done.stdout.strip():
        raise AssertionError(f"Importing {module} imports {', '.join(done.stdout.split())}.")
