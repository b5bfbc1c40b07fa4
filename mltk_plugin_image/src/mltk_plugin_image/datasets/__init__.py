"""Image data sets: one is embedded, the others are downloaded on first use.

Each is a module with `CLASSES`, `INPUT_SHAPE` and `load_data`, for `my_model.dataset` of an `ImageDatasetMixin`.
Downloads are stored in mltk's folder (`MLTK_CACHE_DIR`, or `~/.mltk`). If `MLTK_DATASET_MIRROR` is set, they come from
`<MLTK_DATASET_MIRROR>/<data set>/<file>`.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import cifar10, digits, fashion_mnist, mnist, rock_paper_scissors_v1, rock_paper_scissors_v2

__all__ = ["cifar10", "digits", "fashion_mnist", "mnist", "rock_paper_scissors_v1", "rock_paper_scissors_v2"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
