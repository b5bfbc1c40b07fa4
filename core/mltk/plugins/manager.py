"""Register plugins and call their hooks."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pluggy

from mltk import _namespace
from mltk.errors import MltkError, SpecificationError
from mltk.plugins import hookspecs, isolation, validation
from mltk.plugins.discovery import FoundPlugin, find_plugins
from mltk.plugins.types import PluginRecord
from mltk.plugins.validation import as_sentence, first_line

BUILTIN = ("build", "classifier", "commands", "convert", "custom", "dataset", "profiler", "runtime", "stages")
"""Modules of `mltk.builtin`, each registered as the plugin `mltk.<name>`."""

hookimpl = pluggy.HookimplMarker("mltk")
"""Marks a function as the implementation of the hook that it is named after."""


class Answer(NamedTuple):
    """Answer of one plugin."""

    plugin: str
    """Name of the plugin."""
    value: Any
    """Named things as a list of `(name, thing)`, anything else as it was returned."""


class PluginManager(pluggy.PluginManager):
    """The plugins and their hooks.

    Call a hook with the method for its kind: `call_first`, `collect_offers` or `call_each`. Their errors name the
    plugin that failed.

    Args:
        strict: Raise where a plugin would be left out, or its failure be reported.

    Attributes:
        reports: Warnings about plugins that are still used.
    """

    def __init__(self, strict: bool = False) -> None:
        super().__init__("mltk")
        self.strict = strict
        self.add_hookspecs(hookspecs)
        self._found: list[FoundPlugin] = []
        self._specifications: list[tuple[object, str]] = []
        self.reports: list[str] = []

    def discover(self, warn: bool = True) -> None:
        """Register the installed plugins, then the built-in ones.

        A plugin that cannot be used gets a record; the others are not affected.

        Args:
            warn: Print a line to stderr for each plugin that cannot be used.

        Raises:
            MltkError: A plugin cannot be used, and the manager is strict.
        """
        plugins = find_plugins()
        self._found += plugins
        # pluggy calls the plugin first that was registered last.
        for found in reversed(plugins):
            if found.status == "active":
                try:
                    self._register(found.plugin, found.name)
                except (pluggy.PluginValidationError, ValueError) as e:
                    found.fail("broken", first_line(e))
        for found in plugins:
            if found.status in ("broken", "incompatible"):
                message = as_sentence(f"The plugin {found} is not used: {found.error}")
                if self.strict:
                    raise MltkError(message)
                if warn:
                    print(f"mltk: warning: {message} (mltk plugins show {found.name})", file=sys.stderr)
        if warn and (message := _namespace.unmatched_blocks()):
            print(f"mltk: warning: {message}", file=sys.stderr)
        self.register_builtins()

    def register_builtins(self) -> None:
        """Register mltk's own plugins, to be asked last."""
        for name in BUILTIN:
            self.register(import_module(f"mltk.builtin.{name}"), f"mltk.{name}")
            self._found[-1].builtin = True

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin by hand, for example for a test.

        Args:
            plugin: A module, or another object with functions decorated with `@hookimpl`.
            name: Name of the plugin; by default that of the module.

        Returns:
            The name of the plugin.

        Raises:
            pluggy.PluginValidationError: One of its hooks does not exist, or has another signature.
            ValueError: The name, or the plugin, is already registered.
        """
        registered = self._register(plugin, name)
        if registered and not self._is_specification(plugin):
            self._found.append(FoundPlugin(registered, plugin=plugin))
        return registered

    def _register(self, plugin: object, name: str | None) -> str | None:
        validation.check_hooks(self, plugin)
        return super().register(plugin, name)

    def unregister(self, plugin: object = None, name: str | None = None) -> object:
        """Remove a plugin and its record."""
        removed: object = super().unregister(plugin, name)
        self._found = [found for found in self._found if removed is None or found.plugin is not removed]
        return removed

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook function; functions of a specification are called first."""
        # Most names in a module are not functions, and pluggy inspects each of them slowly.
        if isinstance(plugin, ModuleType) and not isinstance(vars(plugin).get(name), FunctionType):
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is not None and self._is_specification(plugin):
            return {**options, "tryfirst": True, "trylast": False}
        return options

    def records(self) -> list[PluginRecord]:
        """Return the status of each plugin: sorted by name, the built-in ones last."""
        return [self._record(found) for found in sorted(self._found, key=lambda f: (f.builtin, f.name))]

    @contextmanager
    def specification_registered(self, specification: object, name: str) -> Iterator[None]:
        """Register a model specification as a plugin within the block, before all others.

        Within an operation on another specification, the outer specification is not registered: the hooks of a
        specification apply only to itself. An inner operation on the same specification changes nothing.

        Args:
            specification: Module of the specification.
            name: Name of the model, for messages.

        Raises:
            SpecificationError: One of its hook functions does not exist, or has another signature.
        """
        outer = self._specifications[-1:]
        if outer and outer[0][0] is specification:
            yield
            return
        for resting, _ in outer:
            self.unregister(resting)
        plugin_name = f"the specification '{name}'"
        self._specifications.append((specification, plugin_name))
        try:
            try:
                self.register(specification, plugin_name)
            except pluggy.PluginValidationError as e:
                where = getattr(specification, "__file__", None) or name
                raise SpecificationError(as_sentence(f"{where}: {first_line(e)}")) from e
            try:
                yield
            finally:
                self.unregister(specification)
        finally:
            self._specifications.pop()
            for resting, resting_name in outer:
                self.register(resting, resting_name)

    def call_each(self, hook: str, /, **arguments: object) -> list[Answer]:
        """Call all implementations of a hook, each by itself.

        A plugin that raises, or returns a wrong answer, causes one warning; the others are called.

        Raises:
            MltkError: A plugin failed, and the manager is strict.
        """
        answers = []
        for implementation in self._implementations(hook):
            try:
                answer = self._ask(hook, implementation, arguments)
            # A plugin may fail in any way; only an interruption is not its fault.
            except (Exception, SystemExit) as e:  # noqa: BLE001
                self.report(self._failure(hook, implementation.plugin_name, e), e)
                continue
            if answer is not None:
                answers.append(Answer(implementation.plugin_name, answer))
        return answers

    def collect_offers(self, hook: str, /, **arguments: object) -> dict[str, Any]:
        """Call all implementations of a hook and collect their offers by name.

        Returns:
            The offers in the order of the plugins. Offers of a specification replace others of the same name.

        Raises:
            MltkError: Two plugins offer the same name, or a plugin failed or returned a wrong answer.
            Exception: The exception of a specification.
        """
        offers: dict[str, Any] = {}
        owners: dict[str, str] = {}
        for implementation in self._implementations(hook):
            plugin = implementation.plugin_name
            for name, offer in self._ask_or_blame(hook, implementation, arguments) or ():
                if name not in offers:
                    offers[name], owners[name] = offer, plugin
                elif offers[name] is not offer and (owners[name] == plugin or self._active(owners[name])):
                    raise MltkError(self._conflict(hook, name, owners[name], plugin))
        return offers

    def call_first(self, hook: str, /, **arguments: object) -> Any:
        """Ask the plugins in order and return the first answer, or `None`.

        Raises:
            MltkError: A plugin returned a wrong answer.
            Exception: The exception of a plugin, with a note that names it.
        """

        def ask() -> object:
            for implementation in providers:
                answer = self._ask_or_blame(hook, implementation, arguments)
                if answer is not None:
                    return answer
            return None

        providers = self._implementations(hook)
        wrappers = self.subset_hook_caller(hook, [p.plugin for p in providers])
        return wrappers.call_extra([ask], arguments)

    def describe(self, plugin: str) -> str:
        """Return the name of a registered plugin with its distribution and version, for a message."""
        found = self._active(plugin)
        if found is None:
            return plugin  # the name of a specification is a description
        return "mltk itself" if found.builtin else f"the plugin {found}"

    def report(self, message: str, error: BaseException | None = None) -> None:
        """Warn, once, about a plugin that is still used.

        Raises:
            MltkError: The manager is strict.
        """
        if self.strict:
            raise MltkError(message) from error
        if message in self.reports:
            return
        self.reports.append(message)
        logger = logging.getLogger("mltk.plugins")
        logger.warning("%s", message)
        if error is not None:
            logger.debug("Traceback:", exc_info=error)

    def _is_specification(self, plugin: object) -> bool:
        return any(plugin is specification for specification, _ in self._specifications)

    def _record(self, found: FoundPlugin) -> PluginRecord:
        callers = self.get_hookcallers(found.plugin) if found.status == "active" else None
        implemented = {caller.name for caller in callers or ()}
        return found.record(tuple(hook for hook in validation.hook_signatures() if hook in implemented))

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a hook in call order, without wrappers."""
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        return [i for i in reversed(caller.get_hookimpls()) if not i.wrapper]

    def _ask(self, hook: str, implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> object:
        given = [arguments[name] for name in implementation.argnames]
        if validation.hook_kind(hook) == "first answer":
            # These load, build and convert, which changes the process.
            answer = implementation.function(*given)
            return None if answer is None else validation.check_answer(hook, answer)
        with isolation.contained():
            answer = implementation.function(*given)
            # An answer may be a generator, which only runs now.
            return None if answer is None else validation.check_answer(hook, answer)

    def _ask_or_blame(
        self, hook: str, implementation: pluggy.HookImpl, arguments: Mapping[str, object]
    ) -> Any:
        plugin = implementation.plugin_name
        try:
            return self._ask(hook, implementation, arguments)
        except validation.WrongAnswerError as e:
            raise MltkError(self._failure(hook, plugin, e)) from None
        except MltkError:
            # Already a message for the user.
            raise
        except Exception as e:
            found = self._active(plugin)
            if found is None or found.builtin:
                raise
            if self._comes_from_specification(e):
                raise
            remedy = f"Block it with {_namespace.BLOCK_VARIABLE}={plugin}."
            if validation.hook_kind(hook) == "offers":
                raise MltkError(f"{self._failure(hook, plugin, e)} {remedy}") from e
            e.add_note(f"Raised by {self.describe(plugin)} in the hook {hook}. {remedy}")
            raise

    def _comes_from_specification(self, error: BaseException) -> bool:
        """Return whether an exception came through code of a specification that is registered."""
        files = {getattr(module, "__file__", None) for module, _ in self._specifications} - {None}
        return any(frame.filename in files for frame in traceback.extract_tb(error.__traceback__))

    def _failure(self, hook: str, plugin: str, error: BaseException) -> str:
        who = self.describe(plugin)
        kind = "" if isinstance(error, MltkError) else f"{type(error).__name__}: "
        return as_sentence(f"{who[0].upper()}{who[1:]} failed in the hook {hook}: {kind}{first_line(error)}")

    def _active(self, plugin: str) -> FoundPlugin | None:
        return next((f for f in self._found if f.name == plugin and f.status == "active"), None)

    def _conflict(self, hook: str, name: str, first: str, second: str) -> str:
        kind = hook.removeprefix("mltk_").removesuffix("s").replace("_", " ")
        if first == second:
            return f"The {kind} '{name}' is offered twice by {self.describe(first)}."
        # The built-in plugins come last, so the first of the two can be blocked.
        return (
            f"The {kind} '{name}' is offered by both {self.describe(first)} and {self.describe(second)}. "
            f"Block one of them, e.g. {_namespace.BLOCK_VARIABLE}={first}."
        )
