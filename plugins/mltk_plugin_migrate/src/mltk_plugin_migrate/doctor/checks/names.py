"""Checks of names that nothing defines, and of the arguments of mltk's functions."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator
from importlib import import_module

from mltk.errors import PluginNotInstalledError, did_you_mean
from mltk_plugin_migrate.doctor.checks.lookup import hide_tensorflow
from mltk_plugin_migrate.doctor.patterns import Match
from mltk_plugin_migrate.doctor.source import Function, Source

_STAR = "mltk.core"
_OF_MODULES = {
    "__file__",
    "__name__",
    "__doc__",
    "__spec__",
    "__loader__",
    "__package__",
    "__path__",
    "__class__",
}


def undefined_names(source: Source) -> Iterator[Match]:
    """Yield names that nothing in the script binds; nothing if it imports `*` from elsewhere than `mltk.core`."""
    stars = {item.module for item in source.imports if item.name == "*"}
    relative = any(isinstance(n, ast.ImportFrom) and n.level and n.names[0].name == "*" for n in source.nodes)
    if relative or stars - {_STAR}:
        return
    bound = {*dir(builtins), *_OF_MODULES, *(name for node in source.nodes for name in _bound(node))}
    if stars:
        bound |= set(import_module(_STAR).__all__)
    seen = set[str]()
    for node in source.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound | seen:
            seen.add(node.id)
            yield node, {"name": node.id, "hint": _hint(node.id)}


def _hint(name: str) -> str:
    """Return which plugin provides a name, if it is not installed."""
    try:
        getattr(import_module(_STAR), name)
    except PluginNotInstalledError as e:
        return f" {e}"
    except (AttributeError, ImportError):
        pass
    return ""


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds in some scope."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, Function | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names


def wrong_arguments(source: Source) -> Iterator[Match]:
    """Yield calls of functions and classes of mltk with arguments that they do not take, or without one they need."""
    for node in source.nodes:
        if not isinstance(node, ast.Call):
            continue
        called = source.dotted(node.func)
        signature = _signature(called) if called is not None and called.startswith("mltk.") else None
        if called is None or signature is None:
            continue
        named = [keyword.arg for keyword in node.keywords]
        partly = None in named or any(isinstance(argument, ast.Starred) for argument in node.args)
        try:
            bind = signature.bind_partial if partly else signature.bind
            bind(*([] if partly else node.args), **{name: None for name in named if name is not None})
        except TypeError as e:
            unknown = next((n for n in named if n and n not in signature.parameters), "")
            hint = did_you_mean(unknown, signature.parameters) if unknown else ""
            yield node, {"call": called.rpartition(".")[2], "problem": f"{e}.{hint}"}


def _signature(name: str) -> inspect.Signature | None:
    """Return the signature of a function or class of mltk; `None` where it cannot be known without TensorFlow."""
    module, _, attribute = name.rpartition(".")
    with hide_tensorflow():
        try:
            value = getattr(import_module(module), attribute)
            return inspect.signature(value) if callable(value) else None
        # A module of a plugin may fail in any way; other rules report names that do not exist.
        except Exception:  # noqa: BLE001
            return None
