"""Image data sets and augmentation for mltk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mltk_plugin_image.generator import ImageIterator, ParallelImageDataGenerator, ParallelProcessParams
    from mltk_plugin_image.mixins import ImageDatasetMixin

__all__ = ["ImageDatasetMixin", "ImageIterator", "ParallelImageDataGenerator", "ParallelProcessParams"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    module = "mixins" if name == "ImageDatasetMixin" else "generator"
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
