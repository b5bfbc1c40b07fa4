"""Checks of the model's class and of the script around it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module

from mltk.model.base import property_hint
from mltk_plugin_migrate.doctor.checks.lookup import hide_tensorflow
from mltk_plugin_migrate.doctor.patterns import Match
from mltk_plugin_migrate.doctor.source import Function, Source, constant


def unknown_attributes(source: Source) -> Iterator[Match]:
    """Yield properties that the model's class does not have, where all that it inherits is known."""
    for variable, class_name in source.models.items():
        known = _model_class(source, class_name)
        if known is None:
            continue
        for node in source.nodes:
            if not isinstance(node, ast.Attribute) or node.attr.startswith("_"):
                continue
            if (
                isinstance(node.value, ast.Name)
                and node.value.id == variable
                and not hasattr(known, node.attr)
            ):
                yield (
                    node,
                    {"name": node.attr, "variable": variable, "hint": property_hint(known, node.attr)},
                )


def _model_class(source: Source, name: str) -> type | None:
    """Return a class with the same bases and members as the script's, or `None` where a base is not known."""
    bases = []
    for dotted in source.bases(name):
        module, _, attribute = dotted.rpartition(".")
        if not module.startswith("mltk."):
            return None
        with hide_tensorflow():
            try:
                bases.append(getattr(import_module(module), attribute))
            # What is missing is said elsewhere, and a plugin may fail in any way.
            except Exception:  # noqa: BLE001
                return None
    members: dict[str, None] = {}
    for node in ast.walk(source.classes[name]):
        if isinstance(node, Function | ast.ClassDef):
            members[node.name] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            members[node.id] = None
    try:
        return type(name, tuple(dict.fromkeys(bases)), members)
    except TypeError:
        return None


def no_model(source: Source) -> Iterator[Match]:
    """Yield the beginning of a script that makes no model."""
    if not source.models and not any(_may_make_model(source, node) for node in source.nodes):
        yield source.tree, {}


def _may_make_model(source: Source, node: ast.AST) -> bool:
    """Tell whether a class is a model's, or might be one through a base that is not known here."""
    if isinstance(node, ast.ClassDef):
        bases = source.bases(node.name)
        return any(
            b.endswith("MltkModel") or not b.startswith(("mltk.", "keras.", "tensorflow.")) for b in bases
        )
    return isinstance(node, ast.Call) and (source.dotted(node.func) or "").rpartition(".")[2] == "MltkModel"


def several_models(source: Source) -> Iterator[Match]:
    """Yield the second model of a script."""
    names = list(source.models)
    if len(names) > 1:
        for node in source.tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == names[1] for t in node.targets
            ):
                yield node, {"first": names[0], "second": names[1]}
                return


def wrong_file_name(source: Source) -> Iterator[Match]:
    """Yield the beginning of a script whose file name cannot be a model's name."""
    stem = source.name.removesuffix(".py")
    if source.models and not re.fullmatch(r"[A-Za-z0-9_]+", stem):
        yield source.tree, {"name": stem}


def command_file(source: Source) -> Iterator[Match]:
    """Yield the beginning of a file of commands as the reference finds them by their name."""
    if source.name.endswith("_mltk_cli.py"):
        yield source.tree, {}


def hardware_accelerators(source: Source) -> Iterator[Match]:
    """Yield accelerators that operations are asked for by name."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and (source.dotted(node.func) or "").startswith("mltk.core."):
            for keyword in node.keywords:
                accelerator = constant(keyword.value)
                if keyword.arg == "accelerator" and isinstance(accelerator, str) and accelerator != "static":
                    yield keyword, {"name": accelerator}
