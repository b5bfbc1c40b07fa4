"""Functions that are imported when they are called: what plugins offer costs nothing until it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class ImportedFunction:
    """A function that is imported when it is first called, see `import_on_call`."""

    target: str
    """Import string `package.module:attribute`."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Import and call the function."""
        return import_target(self.target)(*args, **kwargs)


def import_on_call(target: str) -> Callable[..., Any]:
    """Return a function that imports another one when it is called.

    Plugins are imported by every command. What they offer this way is imported only when it is used.

    Args:
        target: Import string `package.module:attribute` of a function or a class.
    """
    return ImportedFunction(target)


def import_target(target: str) -> Any:
    """Return the object of an import string `package.module:attribute`."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
