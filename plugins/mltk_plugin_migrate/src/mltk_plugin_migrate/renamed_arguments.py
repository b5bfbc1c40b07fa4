"""Old arguments of other people's packages, which specifications of the reference still give."""

from __future__ import annotations

import functools
import inspect
from types import ModuleType
from typing import Any

# Since version 0.43 whoever gives it is refused; before, it only made things faster.
_DROPPED = "lru_cache_size"


def accept_old_arguments(module: ModuleType) -> None:
    """Let the classes of audiomentations take the arguments that they had before versions 0.38 and 0.43.

    `min_gain_in_db` became `min_gain_db`, and so on; `lru_cache_size` was removed. Only what runs in this process is
    changed, and no class that knows the old names.

    Args:
        module: `audiomentations`.
    """
    classes: list[Any] = [value for value in vars(module).values() if isinstance(value, type)]
    for cls in classes:
        if not hasattr(cls.__init__, "__wrapped__"):
            parameters = inspect.signature(cls.__init__).parameters
            renamed = {
                f"{name.removesuffix('_db')}_in_db": name for name in parameters if name.endswith("_db")
            }
            renamed = {old: new for old, new in renamed.items() if old not in parameters}
            if renamed:
                _translate(cls, renamed)


def _translate(cls: Any, renamed: dict[str, str]) -> None:
    original = cls.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        old = {renamed[name]: kwargs.pop(name) for name in renamed.keys() & kwargs.keys()}
        kwargs.pop(_DROPPED, None)
        original(self, *args, **kwargs, **old)

    cls.__init__ = init
