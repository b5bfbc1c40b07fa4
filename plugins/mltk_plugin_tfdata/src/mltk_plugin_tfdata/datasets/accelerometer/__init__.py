"""Motions as an accelerometer sees them; importable as `mltk.datasets.accelerometer`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import gestures, tflm_magic_wand

__all__ = ["gestures", "tflm_magic_wand"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
