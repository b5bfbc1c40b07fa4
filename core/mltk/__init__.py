"""mltk: train, quantize, evaluate and pack models for microcontrollers, from one Python file."""

import os
from typing import TYPE_CHECKING

from mltk import _namespace
from mltk.reference_names import late_names

__version__ = "0.1.0"

MLTK_DIR = os.path.dirname(__file__)  # noqa: PTH120 - pathlib would double the time of `import mltk`
"""The folder of this package."""

_namespace.install()

if not TYPE_CHECKING:
    __getattr__ = late_names(__name__)
