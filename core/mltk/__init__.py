"""mltk: train, quantize, evaluate and pack models for microcontrollers, from one Python file."""

from pathlib import Path

from mltk import _namespace

__version__ = "0.1.0"

MLTK_DIR = str(Path(__file__).parent)
"""The folder of this package."""

_namespace.install()
