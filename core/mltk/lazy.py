"""Public names that are imported when they are first used.

A package lists its public names once, in its stub `__init__.pyi`. Type checkers and editors read the stub; at
run time `attach` reads the same lines::

    __all__, __getattr__, __dir__ = lazy.attach(__name__, __file__)
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mltk._namespace import Facade, is_blocked, provided, resolve

if TYPE_CHECKING:
    from collections.abc import Callable


def attach(package: str, file: str) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return `__all__`, `__getattr__` and `__dir__` for a package whose names are imported on first use.

    Where a name and a submodule share a name, the attribute is always the name of the stub, also after the
    submodule was imported. Names that plugins declare for the package (entry points `mltk.namespace`) are
    found too; `from package import *` imports them, unless their plugin is blocked.

    Args:
        package: The package's `__name__`; it is being imported.
        file: The package's `__file__`; its stub lies beside it.
    """
    table = _read_stub(Path(file).with_suffix(".pyi"))

    class Package(ModuleType):
        @property
        def __all__(self) -> list[str]:
            """Names for `from package import *`: those of the stub, and attributes of plugins that may be used."""
            prefix = f"{package}."
            attributes = [n for n, entry in provided().items() if entry.attr and not is_blocked(entry)]
            found = {n.removeprefix(prefix) for n in attributes if n.startswith(prefix)}
            return sorted({*table, *(n for n in found if "." not in n)})

        def __setattr__(self, name: str, value: object) -> None:
            # The import system binds every submodule to its package.
            if isinstance(value, ModuleType) and name in table:
                value = load(name)
            elif isinstance(value, Facade) and (entry := provided().get(f"{package}.{name}")) and entry.attr:
                value = entry.load()
            super().__setattr__(name, value)

    sys.modules[package].__class__ = Package

    def load(name: str) -> object:
        module, attribute = table[name]
        value: object = getattr(import_module(module), attribute)
        return value

    def get(name: str) -> object:
        if name not in table:
            return resolve(package, name)
        value = load(name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        prefix = f"{package}."
        plugins = {n.removeprefix(prefix) for n in provided() if n.startswith(prefix)}
        return sorted({*vars(sys.modules[package]), *table, *(n for n in plugins if "." not in n)})

    return sorted(table), get, names


def _read_stub(path: Path) -> dict[str, tuple[str, str]]:
    """Return a stub's public names, each with the module and attribute it stands for.

    As for type checkers, `from module import name as name` and `name = imported` make a public name.
    """
    imported: dict[str, tuple[str, str]] = {}
    public: dict[str, tuple[str, str]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names = imported if alias.asname is None else public
                names[alias.asname or alias.name] = (node.module or "", alias.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            public.update({t.id: imported[node.value.id] for t in node.targets if isinstance(t, ast.Name)})
    return public
