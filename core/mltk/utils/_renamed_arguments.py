"""Old names of arguments of other people's packages, which specifications of the reference still use."""

from __future__ import annotations

import functools
import inspect
from types import ModuleType
from typing import Any


def accept_decibel_names(module: ModuleType) -> None:
    """Let the classes of audiomentations take their decibel arguments by their names before version 0.38.

    `min_gain_in_db` became `min_gain_db`, and so on. Only what runs in this process is changed; a class that knows the
    old names, or has none, stays as it is.

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
                _rename(cls, renamed)


def _rename(cls: Any, renamed: dict[str, str]) -> None:
    original = cls.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        old = {renamed[name]: kwargs.pop(name) for name in renamed.keys() & kwargs.keys()}
        original(self, *args, **kwargs, **old)

    cls.__init__ = init
