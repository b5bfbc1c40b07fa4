"""Find the installed plugins, register them, and call their hooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pluggy

from mltk import _namespace
from mltk.errors import MltkError, SpecificationError
from mltk.plugins import _checks, _isolation, hookspecs

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

API_VERSION = 1
"""Version of the plugin interface. Only a change that plugins must follow raises it; a new hook does not."""

BUILTIN = ("build", "classifier", "convert", "custom", "dataset", "profiler", "runtime")
"""The modules of `mltk.builtin`, each registered as the plugin `mltk.<name>`."""

STRICT_VARIABLE = "MLTK_STRICT_PLUGINS"

hookimpl = pluggy.HookimplMarker("mltk")
"""Marks a function as the implementation of the hook that it is named after."""

Status = Literal["active", "blocked", "broken", "incompatible"]


@dataclass(frozen=True)
class PluginRecord:
    """What became of a plugin that was found."""

    name: str
    """The entry point's name: what blocks it, and what orders it."""
    status: Status
    module: str = ""
    """What the entry point names, e.g. `mltk_plugin_image.plugin`."""
    distribution: str | None = None
    """What `pip` calls it; `None` for a plugin that was registered by hand."""
    version: str | None = None
    """The distribution's version."""
    error: str | None = None
    """One line on why it is not active."""
    details: str | None = None
    """The traceback, where importing it raised."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements, in call order; empty unless active."""
    builtin: bool = False
    """Part of mltk itself."""


class Answer(NamedTuple):
    """What one plugin returned."""

    plugin: str
    """The plugin's name."""
    value: Any
    """Named things as a list of `(name, thing)`, anything else as it was returned."""


@dataclass
class _Found:
    """A plugin on its way from entry point to record. Its distribution's metadata is read only when shown."""

    name: str
    entry_point: EntryPoint | None = None
    plugin: object = None
    builtin: bool = False
    status: Status = "active"
    error: str | None = None
    details: str | None = None

    def fail(self, status: Status, error: str, cause: BaseException | None = None) -> None:
        self.status, self.error = status, error
        if cause is not None:
            import traceback

            self.details = "".join(traceback.format_exception(cause))

    @property
    def distribution(self) -> tuple[str | None, str | None]:
        found = self.entry_point.dist if self.entry_point else None
        if self.builtin:
            from mltk import __version__

            return "mltk-core", __version__
        return (found.name, found.version) if found else (None, None)

    def __str__(self) -> str:
        name, version = self.distribution
        return f"'{self.name}' ({name} {version})" if name else f"'{self.name}'"


class PluginManager(pluggy.PluginManager):
    """The plugins and their hooks.

    `manager.hook.mltk_…(…)` calls a hook in pluggy's way. `call_first`, `collect_offers` and `call_each` also
    name the plugin at fault.

    Args:
        strict: Raise where a plugin would be left out, or its failure be reported.

    Attributes:
        reports: The warnings given about plugins that go on being used.
    """

    def __init__(self, strict: bool = False) -> None:
        super().__init__("mltk")
        self.strict = strict
        self.add_hookspecs(hookspecs)
        self._found: list[_Found] = []
        self._specifications: list[tuple[object, str]] = []
        self.reports: list[str] = []

    def discover(self) -> None:
        """Register the installed plugins, then the built-in ones.

        A plugin that cannot be used gets a record, and one line on stderr; the others are not affected.

        Raises:
            MltkError: A plugin cannot be used, and the manager is strict.
        """
        from importlib_metadata import entry_points

        found = [_Found(e.name, e) for e in entry_points(group=_namespace.PLUGIN_GROUP)]
        by_name: dict[str, list[_Found]] = {}
        for entry in found:
            by_name.setdefault(entry.name, []).append(entry)
        # Sorting by distribution reads its metadata, which is slow and matters only for equal names.
        for same in by_name.values():
            if len(same) > 1:
                same.sort(key=lambda entry: entry.distribution[0] or "")
        found = [entry for name in sorted(by_name) for entry in by_name[name]]
        self._found += found
        self._load(found)
        # pluggy calls the plugin first that was registered last.
        for entry in reversed(found):
            if entry.status == "active":
                self._admit(entry)
        for entry in found:
            if entry.status in ("broken", "incompatible"):
                self._report(entry)
        self.register_builtins()

    def register_builtins(self) -> None:
        """Register mltk's own plugins, to be asked last."""
        for name in BUILTIN:
            module = import_module(f"mltk.builtin.{name}")
            self.register(module, f"mltk.{name}")
            self._found[-1].builtin = True

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin by hand, for a test for instance.

        Args:
            plugin: A module, or another object with functions decorated with `@hookimpl`.
            name: The plugin's name; that of the module by default.

        Returns:
            The name it has.

        Raises:
            pluggy.PluginValidationError: One of its hooks does not exist, or does not have this form.
            ValueError: The name, or the plugin, is registered already.
        """
        registered = self._register(plugin, name)
        is_specification = any(plugin is specification for specification, _ in self._specifications)
        if registered and not is_specification:
            self._found.append(_Found(registered, plugin=plugin))
        return registered

    def _register(self, plugin: object, name: str | None) -> str | None:
        _checks.check_hooks(self, plugin)
        return super().register(plugin, name)

    def unregister(self, plugin: object = None, name: str | None = None) -> Any:
        """Take a plugin out again; it no longer has a record."""
        removed = super().unregister(plugin, name)
        self._found = [f for f in self._found if removed is None or f.plugin is not removed]
        return removed

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook function; a specification's are called before all others."""
        # Most of a module's names are no functions, and pluggy looks at each at length.
        if isinstance(plugin, ModuleType) and not isinstance(vars(plugin).get(name), FunctionType):
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is not None and any(plugin is specification for specification, _ in self._specifications):
            return {**options, "tryfirst": True, "trylast": False}
        return options

    def records(self) -> list[PluginRecord]:
        """Return what became of each plugin: sorted by name, the built-in ones last."""
        return [self._record(f) for f in sorted(self._found, key=lambda f: (f.builtin, f.name))]

    @contextmanager
    def specification_registered(self, specification: object, name: str) -> Iterator[None]:
        """Let a model specification take part as a plugin within the block, before all others.

        Within an operation on another specification, that one's hooks rest: a specification's hooks are for
        itself only. An operation within an operation on the same specification changes nothing.

        Args:
            specification: The specification's module.
            name: The model's name, for messages.

        Raises:
            SpecificationError: One of its hook functions does not exist, or does not have this form.
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
                raise SpecificationError(_sentence(f"{where}: {_one_line(e)}")) from e
            try:
                yield
            finally:
                self.unregister(specification)
        finally:
            self._specifications.pop()
            for resting, resting_name in outer:
                self.register(resting, resting_name)

    def call_each(self, hook: str, /, **arguments: object) -> list[Answer]:
        """Call every plugin's implementation of a hook by itself.

        A plugin that raises, or answers wrongly, is reported in one warning and the others go on.

        Raises:
            MltkError: A plugin failed, and the manager is strict.
        """
        answers = []
        for implementation in self._implementations(hook):
            try:
                answer = self._ask(hook, implementation, arguments)
            # A plugin may fail in any way; only an interruption is not its own.
            except (Exception, SystemExit) as e:  # noqa: BLE001
                self.report(self._failure(hook, implementation.plugin_name, e), e)
                continue
            if answer is not None:
                answers.append(Answer(implementation.plugin_name, answer))
        return answers

    def collect_offers(self, hook: str, /, **arguments: object) -> dict[str, Any]:
        """Call every plugin's implementation of a hook and gather what they offer, by name.

        Returns:
            The offers in the order of the plugins. What a specification offers replaces others' of that name.

        Raises:
            MltkError: Two plugins offer the same name, or one answered wrongly.
            Exception: Whatever a plugin raised, with a note that names it.
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
        """Ask the plugins one after the other and return the first answer, or `None`.

        Raises:
            MltkError: A plugin answered wrongly.
            Exception: Whatever a plugin raised, with a note that names it.
        """

        def ask() -> Any:
            for implementation in providers:
                answer = self._ask_or_blame(hook, implementation, arguments)
                if answer is not None:
                    return answer
            return None

        providers = self._implementations(hook)
        wrappers = self.subset_hook_caller(hook, [p.plugin for p in providers])
        return wrappers.call_extra([ask], arguments)

    def describe(self, plugin: str) -> str:
        """Return a registered plugin's name with its distribution and version, for a message."""
        found = self._active(plugin)
        if found is None:
            return plugin  # a specification's says what it is
        return "mltk itself" if found.builtin else f"the plugin {found}"

    def report(self, message: str, error: BaseException | None = None) -> None:
        """Warn, once, about a plugin that goes on being used.

        Raises:
            MltkError: The manager is strict.
        """
        if self.strict:
            raise MltkError(message) from error
        if message in self.reports:
            return
        self.reports.append(message)
        import logging

        logger = logging.getLogger("mltk.plugins")
        logger.warning("%s", message)
        if error is not None:
            logger.debug("Traceback:", exc_info=error)

    def _load(self, found: list[_Found]) -> None:
        claimed: dict[str, _Found] = {}
        modules: dict[int, _Found] = {}
        current: list[_Found] = []
        with _isolation.named_when_slow(lambda: _waiting_for(current[-1]) if current else ""):
            for entry in found:
                assert entry.entry_point is not None
                if _namespace.is_blocked(entry.entry_point):
                    entry.status = "blocked"
                    continue
                first = claimed.setdefault(entry.name, entry)
                if first is not entry:
                    entry.fail("broken", f"the name '{entry.name}' is taken by {first.distribution[0]}")
                    continue
                current.append(entry)
                try:
                    with _isolation.contained_import():
                        entry.plugin = entry.entry_point.load()
                        version = getattr(entry.plugin, "mltk_api_version", API_VERSION)
                # Anything may go wrong in foreign code; `SystemExit` would end the program without a word.
                except (Exception, SystemExit) as e:  # noqa: BLE001
                    entry.fail("broken", f"{type(e).__name__}: {_one_line(e)}", e)
                    continue
                twin = modules.setdefault(id(entry.plugin), entry)
                if version != API_VERSION:
                    entry.fail("incompatible", _version_advice(version, entry))
                elif twin is not entry:
                    entry.fail("broken", f"its module is already registered as '{twin.name}'")

    def _admit(self, entry: _Found) -> None:
        try:
            self._register(entry.plugin, entry.name)
        except (pluggy.PluginValidationError, ValueError) as e:
            entry.fail("broken", _one_line(e))

    def _report(self, entry: _Found) -> None:
        message = _sentence(f"The plugin {entry} is not used: {entry.error}")
        if self.strict:
            raise MltkError(message)
        print(f"mltk: warning: {message} (mltk plugins show {entry.name})", file=sys.stderr)

    def _record(self, found: _Found) -> PluginRecord:
        distribution, version = found.distribution
        callers = self.get_hookcallers(found.plugin) if found.status == "active" else None
        implemented = {caller.name for caller in callers or ()}
        return PluginRecord(
            name=found.name,
            status=found.status,
            module=found.entry_point.value if found.entry_point else getattr(found.plugin, "__name__", ""),
            distribution=distribution,
            version=version,
            error=found.error,
            details=found.details,
            hooks=tuple(hook for hook in _checks.hook_signatures() if hook in implemented),
            builtin=found.builtin,
        )

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Return the implementations of a hook in call order, without wrappers."""
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        return [i for i in reversed(caller.get_hookimpls()) if not i.wrapper]

    def _ask(self, hook: str, implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> Any:
        given = [arguments[name] for name in implementation.argnames]
        if _checks.is_first_answer(hook):
            # These load, build and convert: it is their business to change things.
            answer = implementation.function(*given)
            return None if answer is None else _checks.check_answer(hook, answer)
        with _isolation.contained():
            answer = implementation.function(*given)
            # An answer may be a generator, which only runs now.
            return None if answer is None else _checks.check_answer(hook, answer)

    def _ask_or_blame(
        self, hook: str, implementation: pluggy.HookImpl, arguments: Mapping[str, object]
    ) -> Any:
        try:
            return self._ask(hook, implementation, arguments)
        except _checks.WrongAnswerError as e:
            raise MltkError(self._failure(hook, implementation.plugin_name, e)) from None
        except MltkError:
            # Meant for the user as it is.
            raise
        except Exception as e:
            found = self._active(implementation.plugin_name)
            if found is not None and not found.builtin:
                e.add_note(f"Raised by {self.describe(found.name)} in the hook {hook}.")
            raise

    def _failure(self, hook: str, plugin: str, error: BaseException) -> str:
        who = self.describe(plugin)
        kind = "" if isinstance(error, MltkError) else f"{type(error).__name__}: "
        return _sentence(f"{who[0].upper()}{who[1:]} failed in the hook {hook}: {kind}{_one_line(error)}")

    def _active(self, plugin: str) -> _Found | None:
        return next((f for f in self._found if f.name == plugin and f.status == "active"), None)

    def _conflict(self, hook: str, name: str, first: str, second: str) -> str:
        what = hook.removeprefix("mltk_").removesuffix("s").replace("_", " ")
        if first == second:
            return f"The {what} '{name}' is offered twice by {self.describe(first)}."
        # The built-in plugins come last, so the first of the two is one that can be blocked.
        return (
            f"The {what} '{name}' is offered by both {self.describe(first)} and {self.describe(second)}. "
            f"Block one of them, e.g. {_namespace.BLOCK_VARIABLE}={first}."
        )


@cache
def _discovered(strict: bool) -> PluginManager:
    manager = PluginManager(strict)
    manager.discover()
    return manager


_substitutes: list[PluginManager] = []


def get_plugin_manager(strict: bool | None = None) -> PluginManager:
    """Return the manager of the installed plugins; the first call finds and loads them.

    Args:
        strict: Raise where a plugin would be left out; by default as `MLTK_STRICT_PLUGINS` says.
    """
    if strict is None:
        strict = os.environ.get(STRICT_VARIABLE, "") not in ("", "0")
    return _substitutes[-1] if _substitutes else _discovered(strict)


def forget_plugins() -> None:
    """Let the next `get_plugin_manager()` find the installed plugins anew."""
    _discovered.cache_clear()
    _namespace.provided.cache_clear()


@contextmanager
def use_plugin_manager(manager: PluginManager) -> Iterator[PluginManager]:
    """Make `get_plugin_manager()` return `manager` within the block."""
    _substitutes.append(manager)
    try:
        yield manager
    finally:
        _substitutes.remove(manager)


def call_each(hook: str, /, **arguments: object) -> list[Answer]:
    """See `PluginManager.call_each`."""
    return get_plugin_manager().call_each(hook, **arguments)


def collect_offers(hook: str, /, **arguments: object) -> dict[str, Any]:
    """See `PluginManager.collect_offers`."""
    return get_plugin_manager().collect_offers(hook, **arguments)


def call_first(hook: str, /, **arguments: object) -> Any:
    """See `PluginManager.call_first`."""
    return get_plugin_manager().call_first(hook, **arguments)


def specification_registered(specification: object, name: str) -> AbstractContextManager[None]:
    """See `PluginManager.specification_registered`."""
    return get_plugin_manager().specification_registered(specification, name)


def _waiting_for(entry: _Found) -> str:
    return (
        f"still waiting for the plugin {entry} to be imported. "
        f"{_namespace.BLOCK_VARIABLE}={entry.name} leaves it out."
    )


def _one_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _version_advice(version: object, entry: _Found) -> str:
    if isinstance(version, int) and version > API_VERSION:
        return f"it needs version {version} of the plugin interface, this is {API_VERSION}; update mltk-core"
    return (
        f"it was written for version {version!r} of the plugin interface, this is {API_VERSION}; "
        f"update {entry.distribution[0] or 'it'}"
    )
