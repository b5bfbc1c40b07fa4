"""Check of TensorFlow and NumPy functions that are called on symbolic tensors."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mltk_plugin_migrate.doctor.patterns import Match
from mltk_plugin_migrate.doctor.source import Function, Source

# Functions of `tf.keras.backend` that also accept symbolic tensors.
_SYMBOLIC_BACKEND = frozenset({"int_shape", "is_keras_tensor"})


def symbolic_operations(source: Source) -> Iterator[Match]:
    """Yield TensorFlow and NumPy functions that are called on what comes from `keras.Input`.

    The data flow is followed through assignments, layers and calls of functions of the script; where it cannot be
    seen, nothing is said.
    """
    own: dict[ast.AST, list[ast.AST]] = {}
    for node in source.nodes:
        own.setdefault(source.scopes[node], []).append(node)
    # In methods of layers and models, TensorFlow works on real tensors.
    plain = [n for n in own if isinstance(n, Function) and not isinstance(source.scopes[n], ast.ClassDef)]
    pending: list[tuple[ast.AST, frozenset[str]]] = [(n, frozenset()) for n in (source.tree, *plain)]
    found: dict[ast.Call, str] = {}
    done = set()
    while pending:
        scope, symbolic = pending.pop()
        if (scope, symbolic) not in done:
            done.add((scope, symbolic))
            flow = _Flow(source, own.get(scope, []), set(symbolic))
            found.update(flow.operations)
            pending += flow.calls
    for call, name in found.items():
        yield call, {"name": name}


class _Flow:
    """Which names in one function, or at the top level, hold symbolic tensors."""

    def __init__(self, source: Source, nodes: list[ast.AST], symbolic: set[str]) -> None:
        self.source = source
        self.symbolic = symbolic
        self.calls: list[tuple[ast.AST, frozenset[str]]] = []
        self.operations: dict[ast.Call, str] = {}
        # Twice, because of loops: what is assigned below may be used above.
        for _ in range(2):
            for node in nodes:
                if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
                    self._assign(node.targets if isinstance(node, ast.Assign) else [node.target], node.value)
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        if not self._is_symbolic(value):
            return
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
            self.symbolic.update(n.id for n in names if isinstance(n, ast.Name))

    def _is_symbolic(self, node: ast.expr) -> bool:
        """Tell whether an expression is a symbolic tensor for sure."""
        waiting = [node]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Subscript):
                # `x[..., 0]`; `x.shape[0]` is none.
                waiting.append(node.value)
            elif isinstance(node, ast.BinOp):
                waiting += (node.left, node.right)
            elif isinstance(node, ast.List | ast.Tuple):
                waiting += node.elts
            elif isinstance(node, ast.Name):
                if node.id in self.symbolic:
                    return True
            elif isinstance(node, ast.Call) and self._makes_symbolic(node):
                return True
        return False

    def _makes_symbolic(self, node: ast.Call) -> bool:
        called = self.source.dotted(node.func)
        if called in ("keras.Input", "keras.layers.Input"):
            return True
        if not any(self._is_symbolic(a) for a in node.args):
            return False
        if called is not None:
            return called.startswith(("keras.layers.", "keras.ops.", "keras.activations."))
        # A layer that is called: `Dense(3)(x)`, `self.conv(x)`, `layer(x)`; or a function of the script.
        return isinstance(node.func, ast.Call | ast.Name)

    def _call(self, node: ast.Call) -> None:
        symbolic = [a for a in node.args if self._is_symbolic(a)]
        symbolic += [k.value for k in node.keywords if self._is_symbolic(k.value)]
        if not symbolic:
            return
        called = self.source.dotted(node.func)
        if called is not None and _is_eager_only(called):
            self.operations[node] = _shown(node.func)
        elif isinstance(node.func, ast.Name) and node.func.id in self.source.functions:
            function = self.source.functions[node.func.id]
            names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
            passed = {n for n, a in zip(names, node.args, strict=False) if self._is_symbolic(a)}
            passed |= {k.arg for k in node.keywords if k.arg and self._is_symbolic(k.value)}
            if passed:
                self.calls.append((function, frozenset(passed)))


def _is_eager_only(called: str) -> bool:
    if called.startswith("keras.backend."):
        return called.rpartition(".")[2] not in _SYMBOLIC_BACKEND
    return called.startswith(("tensorflow.", "numpy."))


def _shown(node: ast.AST) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([*([node.id] if isinstance(node, ast.Name) else []), *reversed(parts)])
