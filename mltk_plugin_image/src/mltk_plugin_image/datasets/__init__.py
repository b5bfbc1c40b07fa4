"""Image data sets: one embedded, the others downloaded when they are first loaded.

Each is a module with `CLASSES`, `INPUT_SHAPE` and `load_data`, to be given to `ImageDatasetMixin.dataset`.
Downloads go to mltk's own folder (`MLTK_CACHE_DIR`, or `~/.mltk`), and are taken from
`<MLTK_DATASET_MIRROR>/<data set>/<file>` if that variable is set.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import cifar10, digits, fashion_mnist, mnist, rock_paper_scissors_v1, rock_paper_scissors_v2

__all__ = ["cifar10", "digits", "fashion_mnist", "mnist", "rock_paper_scissors_v1", "rock_paper_scissors_v2"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
