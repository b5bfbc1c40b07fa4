"""Import modules without importing TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hide_tensorflow() -> Iterator[None]:
    """Make imports of TensorFlow and Keras fail within the block, unless they were imported before."""
    hidden = [name for name in ("tensorflow", "keras") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
