"""What a rule looks for: small patterns over a parsed specification."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from mltk_plugin_migrate.doctor.source import Source, constant, ending

Match = tuple[ast.AST, Mapping[str, object]]
"""Where something was found, and values for the fields of the rule's message."""


class Pattern(Protocol):
    """Finds places in a specification."""

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the places that match; `name`, `value`, … fill the rule's message."""
        ...


@dataclass(frozen=True)
class Name:
    """A name that is imported or used, with everything below it: `keras.engine`, `keras.layers.CuDNN*`."""

    names: tuple[str, ...]

    def find(self, source: Source) -> Iterator[Match]:
        """Yield imports and uses; of `a.b.c` only the longest part that is written there."""
        for node in source.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._named(alias, _keras(alias.name))
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    yield from self._named(alias, _keras(f"{node.module}.{alias.name}"))
            elif isinstance(node, ast.Attribute) and not isinstance(source.parents[node], ast.Attribute):
                dotted = source.dotted(node)
                if dotted is not None:
                    yield from self._named(node, dotted)

    def _named(self, node: ast.AST, dotted: str) -> Iterator[Match]:
        parts = dotted.split(".")
        for pattern in self.names:
            head = ".".join(parts[: pattern.count(".") + 1])
            if fnmatchcase(head, pattern):
                yield node, {"name": head}
                return


@dataclass(frozen=True)
class Argument:
    """A keyword argument of a call."""

    calls: tuple[str, ...]
    """Full names (`keras.optimizers.*`), or `.method` for a method of whatever."""
    names: tuple[str, ...]
    value: Callable[[object], bool] | None = None
    """What the literal value must be like."""

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the keywords."""
        for node, called in _calls(source, self.calls):
            for keyword in node.keywords:
                if keyword.arg is None or not any(fnmatchcase(keyword.arg, n) for n in self.names):
                    continue
                value = constant(keyword.value)
                if self.value is None or self.value(value):
                    yield keyword, {"call": called, "name": keyword.arg, "value": value}


@dataclass(frozen=True)
class Positional:
    """More positional arguments than a function takes."""

    limits: Mapping[str, int]

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the first argument that is too many."""
        for node, called in _calls(source, tuple(self.limits)):
            limit = self.limits[called]
            plain = not any(isinstance(a, ast.Starred) for a in node.args)
            if plain and len(node.args) > limit:
                yield node.args[limit], {"call": called, "limit": limit}


@dataclass(frozen=True)
class Method:
    """A call of a method, by name alone."""

    names: tuple[str, ...]

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the calls."""
        for node in source.nodes:
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in self.names
            ):
                yield node.func, {"name": node.func.attr}


@dataclass(frozen=True)
class FileName:
    """A file name that is given to a call, by how it ends."""

    calls: tuple[str, ...]
    refused: Callable[[str], bool]
    also: Mapping[str, tuple[object, ...]] | None = None
    """Keyword arguments that the call must have, too, and their values; `None` is one left out."""
    keyword: str = "filepath"

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the file names."""
        for node, called in _calls(source, self.calls):
            given = {k.arg: k.value for k in node.keywords}
            where = given.get(self.keyword) or (node.args[0] if node.args else None)
            text = ending(where) if where is not None else None
            if text is None or where is None or not self.refused(text):
                continue
            if all(constant(given.get(name)) in values for name, values in (self.also or {}).items()):
                yield where, {"call": called.removeprefix("."), "value": text}


@dataclass(frozen=True)
class Attribute:
    """An attribute of an expression that looks like something, or `hasattr` and the like with its name."""

    owner: re.Pattern[str]
    """Must match the end of the expression's text."""
    names: tuple[str, ...]

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the attributes."""
        for node in source.nodes:
            if isinstance(node, ast.Attribute) and node.attr in self.names:
                yield from self._owned(node, node.value, node.attr)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("hasattr", "getattr", "setattr")
                and len(node.args) > 1
                and constant(node.args[1]) in self.names
            ):
                yield from self._owned(node, node.args[0], constant(node.args[1]))

    def _owned(self, node: ast.AST, owner: ast.expr, name: object) -> Iterator[Match]:
        text = _text(owner)
        if self.owner.search(text):
            yield node, {"name": name, "owner": text}


@dataclass(frozen=True)
class Key:
    """A key that is read from an expression that looks like something: `history['lr']`, `history.get('lr')`."""

    owner: re.Pattern[str]
    key: str

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the subscripts and calls."""
        for node in source.nodes:
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                owner, key = node.value, node.slice
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
                and node.args
            ):
                owner, key = node.func.value, node.args[0]
            else:
                continue
            if constant(key) == self.key and self.owner.search(_text(owner)):
                yield node, {}


@dataclass(frozen=True)
class Setting:
    """A property that the specification sets on its model."""

    attribute: str
    keys: tuple[str | None, ...] = (None,)
    """Keys of a property that is a dict; `None` is the property itself."""
    value: Callable[[object], bool] | None = None

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the places where it is set."""
        for setting in source.settings:
            if setting.attribute == self.attribute and setting.key in self.keys:
                value = constant(setting.value)
                if self.value is None or self.value(value):
                    yield setting.node, {"key": setting.key, "value": value}


@dataclass(frozen=True)
class Text:
    """A string in the script that ends with something."""

    suffix: str

    def find(self, source: Source) -> Iterator[Match]:
        """Yield the strings; not the documentation."""
        for node in source.nodes:
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.endswith(self.suffix)
                and not isinstance(source.parents[node], ast.Expr)
            ):
                yield node, {"value": node.value}


@dataclass(frozen=True)
class Check:
    """Anything that needs a function of its own."""

    function: Callable[[Source], Iterator[Match]]

    def find(self, source: Source) -> Iterator[Match]:
        """Yield what the function does."""
        yield from self.function(source)


def _calls(source: Source, patterns: tuple[str, ...]) -> Iterator[tuple[ast.Call, str]]:
    """Yield calls of functions with these full names, or of methods (`.fit`), with the name that matched."""
    for node in source.nodes:
        if not isinstance(node, ast.Call):
            continue
        dotted = source.dotted(node.func)
        for pattern in patterns:
            if pattern.startswith("."):
                if isinstance(node.func, ast.Attribute) and node.func.attr == pattern[1:]:
                    yield node, pattern
                    break
            elif dotted is not None and fnmatchcase(dotted, pattern):
                yield node, dotted
                break


def _text(node: ast.AST) -> str:
    """Return `a.b[…].c(…)` as text, outermost part last; calls and indices are shortened."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(f".{node.attr}")
            node = node.value
        elif isinstance(node, ast.Subscript):
            parts.append("[]")
            node = node.value
        elif isinstance(node, ast.Call):
            parts.append("()")
            node = node.func
        else:
            parts.append(node.id if isinstance(node, ast.Name) else "")
            return "".join(reversed(parts))


def _keras(dotted: str) -> str:
    return dotted.removeprefix("tensorflow.") if f"{dotted}.".startswith("tensorflow.keras.") else dotted
