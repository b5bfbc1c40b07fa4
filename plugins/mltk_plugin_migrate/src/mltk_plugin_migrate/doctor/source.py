"""A specification as text: parsed, with names resolved to what they were imported as, and never run."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Import:
    """One imported name."""

    node: ast.stmt
    module: str
    """Absolute name of the module; relative imports are left out."""
    name: str | None
    """What `from module import name` takes from it; `None` for `import module`."""


@dataclass(frozen=True)
class Setting:
    """A property of the model, or one key of a property that is a dict, that the specification sets."""

    node: ast.AST
    """Where."""
    attribute: str
    key: str | None
    value: ast.expr | None
    """`None` where it cannot be told."""


class Source:
    """A parsed specification.

    Args:
        text: The script, as it lies on the disk.
        name: The file name, for what depends on it.
        folder: Where modules beside it would be; `None` for one from an archive.

    Raises:
        SyntaxError: The text is not Python.
        ValueError: The text has bytes that no Python script has.
        RecursionError: It is nested too deeply to be parsed.
    """

    def __init__(self, text: bytes, name: str = "model.py", folder: Path | None = None) -> None:
        self.name = name
        self.folder = folder
        with warnings.catch_warnings():
            # Of Python about odd escapes and comparisons; the user did not ask for those.
            warnings.simplefilter("ignore")
            self.tree = ast.parse(text)
        self.nodes: list[ast.AST] = []
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, ast.AST] = {self.tree: self.tree}
        """The innermost function, lambda or class around each node, or the tree itself."""
        # Not recursive: expressions may be nested deeper than Python calls may be.
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            self.nodes.append(node)
            children = list(ast.iter_child_nodes(node))
            self.parents.update(dict.fromkeys(children, node))
            self.scopes.update(
                dict.fromkeys(children, node if isinstance(node, _SCOPES) else self.scopes[node])
            )
            waiting += reversed(children)

    def enclosing(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around a node, innermost first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    @cached_property
    def imports(self) -> list[Import]:
        """All absolute imports, at any level of the script."""
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [Import(node, alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found += [Import(node, node.module, alias.name) for alias in node.names]
        return found

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """What names of the script stand for: imports, and single assignments like `K = tf.keras.backend`."""
        found: dict[str, str] = {}
        bound: Counter[str] = Counter()
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[node.id] += 1
            elif isinstance(node, ast.arg):
                bound[node.arg] += 1
        self.__dict__["aliases"] = found
        for node in self.nodes:
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            target = node.targets[0]
            if isinstance(target, ast.Name) and bound[target.id] == 1 and target.id not in found:
                dotted = self.dotted(node.value)
                if dotted is not None:
                    found[target.id] = dotted
        return found

    def dotted(self, node: ast.AST) -> str | None:
        """Return the full name that `a.b.c` stands for, or `None` when `a` is nothing imported.

        `tensorflow.keras` is written `keras`: they are the same.
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.aliases:
            return None
        return _canonical(".".join([self.aliases[node.id], *reversed(parts)]))

    @cached_property
    def classes(self) -> Mapping[str, ast.ClassDef]:
        """Classes of the script by name."""
        return {n.name: n for n in self.nodes if isinstance(n, ast.ClassDef)}

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Functions at the top level of the script by name."""
        return {n.name: n for n in self.tree.body if isinstance(n, Function)}

    def bases(self, name: str) -> list[str]:
        """Return the full names of what a class of the script inherits, through its own classes; `?` if unknown."""
        found: list[str] = []
        waiting, seen = [name], set[str]()
        while waiting:
            current = waiting.pop(0)
            if current in seen:
                continue
            seen.add(current)
            for base in self.classes[current].bases:
                dotted = self.dotted(base)
                if dotted is not None:
                    found.append(dotted)
                elif isinstance(base, ast.Name) and base.id in self.classes:
                    waiting.append(base.id)
                else:
                    found.append("?")
        return found

    @cached_property
    def models(self) -> Mapping[str, str]:
        """Variables that hold the model, with the name of its class: `my_model = MyModel()`."""
        found = {}
        for node in self.tree.body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Name)
                and (name := node.value.func.id) in self.classes
                and any(base.rpartition(".")[2] == "MltkModel" for base in self.bases(name))
            ):
                found.update({t.id: name for t in node.targets if isinstance(t, ast.Name)})
        return found

    def is_model(self, node: ast.AST) -> bool:
        """Tell whether an expression is the model's variable."""
        return isinstance(node, ast.Name) and node.id in self.models

    @cached_property
    def settings(self) -> list[Setting]:
        """What the specification sets on its model."""
        found: list[Setting] = []
        for node in self.nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    found += self._assigned(target, node.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                inner = node.func.value
                if (
                    node.func.attr == "update"
                    and isinstance(inner, ast.Attribute)
                    and self.is_model(inner.value)
                ):
                    for given in [*node.args, node]:
                        found += [Setting(n, inner.attr, k, v) for n, k, v in _items(given, always=True)]
        return found

    def _assigned(self, target: ast.expr, value: ast.expr) -> Iterator[Setting]:
        if isinstance(target, ast.Attribute) and self.is_model(target.value):
            yield Setting(target, target.attr, None, value)
            for node, key, item in _items(value):
                yield Setting(node, target.attr, key, item)
        elif (
            isinstance(target, ast.Subscript)
            and isinstance(target.value, ast.Attribute)
            and self.is_model(target.value.value)
            and isinstance(target.slice, ast.Constant)
            and isinstance(target.slice.value, str)
        ):
            yield Setting(target, target.value.attr, target.slice.value, value)

    def is_guarded(self, node: ast.AST) -> bool:
        """Tell whether a failing import there does no harm: in `try`, for type checkers, or when run as a program."""
        inner = node
        for outer in self.enclosing(node):
            if (
                isinstance(outer, ast.Try)
                and inner in outer.body
                and any(map(_catches_imports, outer.handlers))
            ):
                return True
            if isinstance(outer, ast.If) and inner in outer.body:
                names = {n.id for n in ast.walk(outer.test) if isinstance(n, ast.Name)}
                attributes = {n.attr for n in ast.walk(outer.test) if isinstance(n, ast.Attribute)}
                if "__name__" in names or "TYPE_CHECKING" in names | attributes:
                    return True
            inner = outer
        return False


class _Unknown:
    def __repr__(self) -> str:
        return "…"


UNKNOWN: Final = _Unknown()
"""The value of what is no literal."""


def constant(node: ast.AST | None) -> object:
    """Return the value of a literal, also of a tuple, list or dict of literals; `UNKNOWN` for anything else.

    Without a node, the value is `None`: that of most arguments that are left out.
    """
    if node is None:
        return None
    if isinstance(node, ast.Constant):
        return node.value
    try:
        return ast.literal_eval(node)
    # What is no literal, or one that Python cannot build: unhashable keys, too deep.
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def ending(node: ast.AST) -> str | None:
    """Return the text that a string expression surely ends with: of a literal, an f-string or a sum."""
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        node = node.right
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[-1]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _items(value: ast.expr, always: bool = False) -> Iterator[tuple[ast.AST, str, ast.expr | None]]:
    """Yield place, key and value of `{'key': value}` and `dict(key=value)`; `always`: of any call's keywords."""
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key, key.value, item
    elif isinstance(value, ast.Call) and (
        always or (isinstance(value.func, ast.Name) and value.func.id == "dict")
    ):
        for keyword in value.keywords:
            if keyword.arg is not None:
                yield keyword, keyword.arg, keyword.value


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    wanted = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    return any(isinstance(n, ast.Name) and n.id in wanted for n in names)


def _canonical(dotted: str) -> str:
    for prefix in ("tensorflow.keras", "tensorflow.compat.v2.keras"):
        if dotted == prefix or dotted.startswith(f"{prefix}."):
            return "keras" + dotted.removeprefix(prefix)
    return dotted
