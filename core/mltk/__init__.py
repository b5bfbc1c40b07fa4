"""mltk: train, quantize, evaluate and pack models for microcontrollers, from one Python file."""

import os
from typing import TYPE_CHECKING

from mltk import _namespace
from mltk.reference_names import ABSENT

__version__ = "0.1.0"

MLTK_DIR = os.path.dirname(__file__)  # noqa: PTH120 - pathlib would double the time of `import mltk`
"""The folder of this package."""

_namespace.install()

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # The import system asks for each module of this package, so names of plugins are not looked up here.
        if f"mltk.{name}" in ABSENT:
            return _namespace.resolve("mltk", name)
        raise AttributeError(f"module 'mltk' has no attribute '{name}'")
