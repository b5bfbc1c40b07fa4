"""The rules that need more than a pattern: imports, properties of the model, TensorFlow within the network."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mltk.doctor._match import Match
from mltk.doctor._source import Function, Source, constant
from mltk.errors import did_you_mean

_DISTRIBUTIONS: Mapping[str, str] = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "wx": "wxPython",
    "yaml": "PyYAML",
}
"""What `pip` calls packages that are imported under another name."""

KERAS_2_PACKAGES = ("keras_applications", "keras_preprocessing", "tensorflow_addons", "tf_keras")
"""Packages for Keras 2, which are of no use whether they are installed or not."""

# What `install_pip_package` passes over.
_UNNECESSARY = frozenset({"tensorflow-model-optimization"})

# Of `tf.keras.backend`, what also works on a symbolic tensor.
_SYMBOLIC_BACKEND = frozenset({"int_shape", "is_keras_tensor"})


# Imports


def plugins_missing(source: Source) -> Iterator[Match]:
    """Yield uses of public names whose plugin is not installed, or blocked."""
    for node, module, name in _mltk_names(source):
        problem = _mltk_problem(module, name)
        if problem is not None and problem[0] == "plugin":
            yield node, {"problem": problem[1]}


def mltk_names_unknown(source: Source) -> Iterator[Match]:
    """Yield uses of names below `mltk` that nobody provides."""
    for node, module, name in _mltk_names(source):
        problem = _mltk_problem(module, name)
        if problem is not None and problem[0] == "unknown":
            yield node, {"problem": problem[1]}


def packages_missing(source: Source) -> Iterator[Match]:
    """Yield imports of packages that are not installed, and that the specification does not install itself."""
    installed_by_itself = {package for _, package in _pip_calls(source)}
    for item in source.imports:
        top = item.module.partition(".")[0]
        if top in ("mltk", *KERAS_2_PACKAGES) or source.is_guarded(item.node) or _is_there(source, top):
            continue
        distribution = _DISTRIBUTIONS.get(top, top.replace("_", "-"))
        if not {top, distribution} & installed_by_itself:
            inside = source.scopes[item.node]
            later = (
                f", which '{inside.name}' needs when it is called," if isinstance(inside, Function) else ""
            )
            yield item.node, {"package": top, "distribution": distribution, "later": later}


def packages_installed_by_the_script(source: Source) -> Iterator[Match]:
    """Yield calls of `install_pip_package` for a package that is not installed yet."""
    for node, package in _pip_calls(source):
        if package not in _UNNECESSARY and not _is_there(source, package.replace("-", "_")):
            yield node, {"package": package}


def renamed_arguments(source: Source) -> Iterator[Match]:
    """Yield calls of audiomentations with old names, which nothing translates."""
    if "audiomentations" not in {package for _, package in _pip_calls(source)}:
        yield from _old_arguments(source)


def translated_arguments(source: Source) -> Iterator[Match]:
    """Yield calls of audiomentations with old names, which `install_pip_package` lets it accept."""
    if "audiomentations" in {package for _, package in _pip_calls(source)}:
        yield from _old_arguments(source)


def _old_arguments(source: Source) -> Iterator[Match]:
    for node in source.nodes:
        if isinstance(node, ast.Call) and (source.dotted(node.func) or "").startswith("audiomentations."):
            old = [k.arg for k in node.keywords if k.arg and k.arg.endswith("_in_db")]
            if old:
                new = [name.replace("_in_db", "_db") for name in old]
                yield node, {"old": ", ".join(old), "new": ", ".join(new)}


def cv2_of_cv2(source: Source) -> Iterator[Match]:
    """Yield imports of `cv2.cv2`, which old versions of OpenCV had."""
    for item in source.imports:
        if not source.is_guarded(item.node) and f"{item.module}.{item.name}.".startswith("cv2.cv2."):
            yield item.node, {}


def _pip_calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    for node in source.nodes:
        if (
            isinstance(node, ast.Call)
            and node.args
            and (source.dotted(node.func) or "").endswith(".install_pip_package")
        ):
            package = constant(node.args[0])
            if isinstance(package, str) and (name := re.match(r"[A-Za-z0-9._-]+", package)):
                yield node, name[0]


def _is_there(source: Source, top: str) -> bool:
    if source.folder is not None and (
        (source.folder / f"{top}.py").is_file() or (source.folder / top).is_dir()
    ):
        return True
    if top in sys.builtin_module_names or top in sys.modules:
        return sys.modules.get(top, True) is not None
    try:
        return find_spec(top) is not None
    # Of a module without a specification, `__main__` for instance.
    except ValueError:
        return True


def _is_beside(source: Source, module: str) -> bool:
    """Tell whether a module lies beside the specification, which may call it `mltk.models.<folder>.<module>`."""
    if source.folder is None:
        return False
    package, _, name = module.rpartition(".")
    return (
        package == f"mltk.models.{source.folder.resolve().name}"
        and name.isidentifier()
        and (source.folder / f"{name}.py").is_file()
    )


def _mltk_names(source: Source) -> Iterator[tuple[ast.AST, str, str | None]]:
    """Yield place, module and name of all that the script imports or uses of `mltk`."""
    for item in source.imports:
        if item.module.partition(".")[0] != "mltk" or source.is_guarded(item.node):
            continue
        if not _is_beside(source, item.module) and not _is_beside(source, f"{item.module}.{item.name}"):
            yield item.node, item.module, None if item.name == "*" else item.name
    seen = set()
    for node in source.nodes:
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        # `mltk_core.TrainMixin`, with `mltk_core` an imported module.
        module = source.dotted(node.value)
        if module is None or not f"{module}.".startswith("mltk.") or (module, node.attr) in seen:
            continue
        if isinstance(node.ctx, ast.Load) and _is_module(module):
            seen.add((module, node.attr))
            yield node, module, node.attr


def _is_module(name: str) -> bool:
    with _without_tensorflow():
        try:
            return find_spec(name) is not None
        # A name within a module, or a plugin that is not there or cannot be imported.
        except ImportError:
            return False


def _mltk_problem(module: str, name: str | None) -> tuple[str, str] | None:
    """Return the kind of a problem with a name below `mltk`, and a sentence, or `None` when there is none."""
    from mltk._namespace import PluginNotInstalledError

    with _without_tensorflow():
        try:
            imported = import_module(module)
            if name is None or hasattr(imported, name):
                return None
            import_module(f"{module}.{name}")
        except PluginNotInstalledError as e:
            return "plugin", str(e)
        except ModuleNotFoundError as e:
            missing = e.name or ""
            if not missing.startswith("mltk.") and missing != "mltk":
                # A module that needs TensorFlow, or another package, when it is imported: the name may be there.
                return None
            if name is None or not _is_module(module):
                return "unknown", f"There is no module '{module}'."
            near = did_you_mean(name, (n for n in dir(imported) if not n.startswith("_")))
            return "unknown", f"'{module}' has no '{name}'.{near}"
        # A plugin's module may fail in any way when it is imported; `mltk plugins check` says why.
        except Exception:  # noqa: BLE001
            return None
    return None


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Make imports of TensorFlow and Keras fail within the block, unless they were imported before."""
    hidden = [name for name in ("tensorflow", "keras") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# The model


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
                    {"name": node.attr, "variable": variable, "hint": _attribute_hint(known, node.attr)},
                )


def _model_class(source: Source, name: str) -> type | None:
    """Return a class with the same bases and members as the script's, or `None` where a base is not known."""
    bases = []
    for dotted in source.bases(name):
        module, _, attribute = dotted.rpartition(".")
        if not module.startswith("mltk."):
            return None
        with _without_tensorflow():
            try:
                bases.append(getattr(import_module(module), attribute))
            # What is missing is said elsewhere, and a plugin may fail in any way.
            except Exception:  # noqa: BLE001
                return None
    members: dict[str, Any] = {}
    for node in ast.walk(source.classes[name]):
        if isinstance(node, Function | ast.ClassDef):
            members[node.name] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            members[node.id] = None
    try:
        return type(name, tuple(dict.fromkeys(bases)), members)
    except TypeError:
        return None


def _attribute_hint(cls: type, name: str) -> str:
    from mltk.model.model import _property_hint

    return _property_hint(cls, name)


def converter_settings_unknown(source: Source) -> Iterator[Match]:
    """Yield keys of `tflite_converter` that neither mltk nor TensorFlow's converter has."""
    for setting in source.settings:
        if setting.attribute == "tflite_converter" and setting.key and setting.key not in CONVERTER_KEYS:
            yield setting.node, {"key": setting.key, "hint": did_you_mean(setting.key, CONVERTER_KEYS)}


def callback_settings_unknown(source: Source) -> Iterator[Match]:
    """Yield arguments of callback properties that Keras' callback does not have."""
    for setting in source.settings:
        known = CALLBACK_KEYS.get(setting.attribute)
        if known is None or setting.key is None or setting.key in known:
            continue
        if setting.key == "options" and constant(setting.value) is None:
            # The reference's default, which mltk drops.
            continue
        yield (
            setting.node,
            {
                "property": setting.attribute,
                "key": setting.key,
                "hint": did_you_mean(setting.key, known),
            },
        )


def schedule_and_plateau(source: Source) -> Iterator[Match]:
    """Yield `reduce_lr_on_plateau` where `lr_schedule` is set too."""
    given = {s.attribute for s in source.settings if not _is_off(s.value)}
    if "lr_schedule" in given:
        for setting in source.settings:
            if setting.attribute == "reduce_lr_on_plateau" and not _is_off(setting.value):
                yield setting.node, {}
                return


def _is_off(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Constant):
        return value.value is None
    return isinstance(value, ast.Dict) and not value.keys


def minimized_monitor(source: Source) -> Iterator[Match]:
    """Yield `checkpoint['monitor']` of which less is better."""
    from mltk.model.mixins.train import is_minimized

    for setting in source.settings:
        if setting.attribute == "checkpoint" and setting.key == "monitor":
            monitor = constant(setting.value)
            if isinstance(monitor, str) and is_minimized(monitor):
                yield setting.node, {"value": monitor}


def several_abnormal_classes(source: Source) -> Iterator[Match]:
    """Yield the classes of an anomaly detector that has more than one abnormal class."""
    if not any(
        base.endswith(".EvaluateAutoEncoderMixin")
        for name in source.models.values()
        for base in source.bases(name)
    ):
        return
    for setting in source.settings:
        if setting.attribute in ("classes", "eval_classes") and setting.key is None:
            classes = constant(setting.value)
            if isinstance(classes, list | tuple) and len(classes) > 2:
                yield setting.node, {}


def binary_classes(source: Source) -> Iterator[Match]:
    """Yield `class_mode = 'binary'` of a model that is judged as a classifier."""
    bases = [base for name in source.models.values() for base in source.bases(name)]
    if any(base.endswith(".EvaluateClassifierMixin") for base in bases):
        for setting in source.settings:
            if setting.attribute == "class_mode" and constant(setting.value) == "binary":
                yield setting.node, {}


def unequal_shifts(source: Source) -> Iterator[Match]:
    """Yield image generators that shift differently in width and height."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and _is_generator(source, node, "ParallelImageDataGenerator"):
            given = {k.arg: k.value for k in node.keywords if k.arg}
            width, height = given.get("width_shift_range"), given.get("height_shift_range")
            shifts = [constant(v) or 0 for v in (width, height)]
            if shifts[0] != shifts[1]:
                yield width or height or node, {}


def _is_generator(source: Source, call: ast.Call, name: str) -> bool:
    return (source.dotted(call.func) or "").rpartition(".")[2] == name


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


# TensorFlow's functions on symbolic tensors


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


CONVERTER_KEYS = frozenset(
    {
        "allow_custom_ops",
        "canonicalizing_inf_as_min_max_float",
        "dense_per_channel",
        "exclude_conversion_metadata",
        "experimental_enable_resource_variables",
        "experimental_lower_to_saved_model",
        "experimental_new_converter",
        "experimental_new_dynamic_range_quantizer",
        "experimental_new_quantizer",
        "experimental_use_stablehlo_quantizer",
        "generate_quantization_report",
        "generate_unquantized",
        "inference_input_type",
        "inference_output_type",
        "legalize_custom_tensor_list_ops",
        "optimizations",
        "representative_dataset",
        "representative_dataset_max_samples",
        "serialize_debug_metadata",
        "supported_ops",
        "target_spec",
        "unfold_batchmatmul",
    }
)
"""Settings of the converter: mltk's own, and attributes of `tf.lite.TFLiteConverter` that are of use."""

CALLBACK_KEYS: Mapping[str, frozenset[str]] = {
    "checkpoint": frozenset(
        {
            "filepath",
            "initial_value_threshold",
            "mode",
            "monitor",
            "save_best_only",
            "save_freq",
            "save_weights_only",
            "verbose",
        }
    ),
    "early_stopping": frozenset(
        {
            "baseline",
            "min_delta",
            "mode",
            "monitor",
            "patience",
            "restore_best_weights",
            "start_from_epoch",
            "verbose",
        }
    ),
    "reduce_lr_on_plateau": frozenset(
        {
            "cooldown",
            "epsilon",
            "factor",
            "min_delta",
            "min_lr",
            "mode",
            "monitor",
            "patience",
            "verbose",
        }
    ),
    "lr_schedule": frozenset({"schedule", "verbose"}),
    "tensorboard": frozenset(
        {
            "embeddings_freq",
            "embeddings_metadata",
            "histogram_freq",
            "log_dir",
            "profile_batch",
            "update_freq",
            "write_graph",
            "write_images",
            "write_steps_per_second",
        }
    ),
}
"""Arguments of Keras' callbacks."""
