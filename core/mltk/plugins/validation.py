"""Check the hook functions of plugins and their answers."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Literal

import pluggy

from mltk.errors import MltkError, did_you_mean
from mltk.plugins import hookspecs
from mltk.plugins.types import (
    AugmentationStep,
    Command,
    CommandOption,
    Compiler,
    Evaluator,
    LoadedDataset,
    Parameter,
    Profiler,
    ReportSection,
    Runtime,
    Setting,
    Stage,
    Template,
)

HookKind = Literal["first answer", "offers", "each by itself"]

_EACH = frozenset({"mltk_commands", "mltk_command_options", "mltk_report_sections", "mltk_event"})
_LISTS: Mapping[str, type] = {
    "mltk_commands": Command,
    "mltk_command_options": CommandOption,
    "mltk_templates": Template,
    "mltk_settings": Setting,
    "mltk_stages": Stage,
    "mltk_augmentations": AugmentationStep,
    "mltk_evaluators": Evaluator,
    "mltk_runtimes": Runtime,
    "mltk_profilers": Profiler,
    "mltk_compilers": Compiler,
    "mltk_report_sections": ReportSection,
}
_MAPPINGS: Mapping[str, type] = {"mltk_custom_objects": object, "mltk_model_parameters": Parameter}

# A name is typed on the command line, and an evaluator's is also that of a folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@cache
def _callers() -> Mapping[str, pluggy.HookCaller]:
    """Return the hooks in call order, without plugins."""
    manager = pluggy.PluginManager("mltk")
    manager.add_hookspecs(hookspecs)
    return {name: getattr(manager.hook, name) for name in vars(hookspecs) if name.startswith("mltk_")}


@cache
def hook_signatures() -> Mapping[str, tuple[str, ...]]:
    """Return the hooks in call order, each with the names of its arguments."""
    return {name: tuple(inspect.signature(getattr(hookspecs, name)).parameters) for name in _callers()}


def hook_kind(hook: str) -> HookKind:
    """Return how the implementations of a hook are called."""
    spec = _callers()[hook].spec
    if spec is not None and spec.opts["firstresult"]:
        return "first answer"
    return "each by itself" if hook in _EACH else "offers"


def check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Refuse a plugin with a hook function that would never be called, or fail when called.

    pluggy accepts functions for hooks that do not exist, and missing decorators.

    Raises:
        pluggy.PluginValidationError: One of the hook functions is wrong; the message names it.
    """
    signatures = hook_signatures()
    implemented = set()
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is None:
            if name in signatures and _is_undecorated_function(plugin, name):
                raise _refused(plugin, f"{name}() is not decorated with @hookimpl and would not be called")
            continue
        hook = options.get("specname") or name
        if hook not in signatures:
            if options.get("optionalhook"):
                continue
            raise _refused(plugin, f"there is no hook '{hook}'.{did_you_mean(hook, signatures)}")
        if hook in implemented:
            raise _refused(plugin, f"it implements {hook}() twice")
        implemented.add(hook)
        if options.get("hookwrapper") or (options.get("wrapper") and hook_kind(hook) != "first answer"):
            raise _refused(
                plugin,
                f"{name}() is a wrapper; only hooks that take the first answer have them, with wrapper=True",
            )
        _check_signature(plugin, name, hook)


class WrongAnswerError(MltkError):
    """A hook returned a value of the wrong type."""


def check_answer(hook: str, answer: object) -> object:
    """Return a hook's answer; named things become a list of `(name, thing)`.

    Raises:
        WrongAnswerError: The answer has the wrong type.
    """
    if hook in _LISTS:
        return _named(answer, _LISTS[hook])
    if hook in _MAPPINGS:
        return _mapped(answer, _MAPPINGS[hook])
    if hook == "mltk_load_dataset" and not isinstance(answer, LoadedDataset):
        raise _wrong(answer, "not a LoadedDataset")
    if hook == "mltk_convert_model" and not isinstance(answer, bytes):
        raise _wrong(answer, "not bytes")
    if hook == "mltk_build_model" and not _is_keras_model(answer):
        raise _wrong(answer, "not a keras.Model")
    if hook == "mltk_event":
        raise _wrong(answer, "and must return nothing")
    return answer


def _mapped(answer: object, kind: type) -> list[tuple[str, object]]:
    if not isinstance(answer, Mapping):
        raise _wrong(answer, "not a mapping of names")
    for name, value in answer.items():
        if not isinstance(name, str) or not name or not isinstance(value, kind):
            raise _wrong(value, f"under {name!r}, not a {kind.__name__} under a name")
    return list(answer.items())


def _named(answer: object, kind: type) -> list[tuple[str, object]]:
    if not isinstance(answer, Iterable):
        raise _wrong(answer, f"not an iterable of {kind.__name__}")
    found = []
    for item in answer:
        if not isinstance(item, kind):
            raise _wrong(item, f"among its answers, not only {kind.__name__}")
        name: object = getattr(item, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(item, f"named {name!r}; a name is made of letters, digits, '_', '-' and '.'")
        found.append((name, item))
    return found


def _wrong(value: object, but: str) -> WrongAnswerError:
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    comma = "," if but.startswith(("not", "and")) else ""
    return WrongAnswerError(f"it returned {article} {kind}{comma} {but}")


def _is_keras_model(answer: object) -> bool:
    # Code that built a model has imported Keras; importing it here would take seconds.
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(answer, keras.Model)


def _is_undecorated_function(plugin: object, name: str) -> bool:
    value = inspect.getattr_static(plugin, name, None)
    value = getattr(value, "__func__", value)
    # `from mltk.plugins.hookspecs import …` imports the specifications themselves.
    return inspect.isfunction(value) and value is not getattr(hookspecs, name, None)


def _check_signature(plugin: object, name: str, hook: str) -> None:
    allowed = hook_signatures()[hook]
    for parameter in inspect.signature(getattr(plugin, name)).parameters.values():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise _refused(plugin, f"{name}() has the parameter '{parameter}', which mltk cannot pass")
        if parameter.name not in allowed:
            known = f"its arguments are {', '.join(allowed)}" if allowed else "it has no arguments"
            raise _refused(
                plugin, f"{name}() takes '{parameter.name}', which the hook does not have; {known}"
            )


def _refused(plugin: object, message: str) -> pluggy.PluginValidationError:
    return pluggy.PluginValidationError(plugin, message)


def first_line(error: BaseException) -> str:
    """Return the first line of the error's text, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def as_sentence(text: str) -> str:
    """Return the text with a full stop at its end."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
