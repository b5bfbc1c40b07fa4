"""State that every model has: properties, log folder, events."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mltk.errors import MltkError, SpecificationError, did_you_mean
from mltk.model.attributes import Attribute, ModelAttributes
from mltk.model.event import MltkModelEvent
from mltk.model.settings import ModelSettings
from mltk.plugins import get_plugin_manager
from mltk.utils.files import cache_dir
from mltk.utils.logging import file_logger, get_mltk_logger

if TYPE_CHECKING:
    import logging

_MIXINS = {
    "TrainMixin": "mltk.model.mixins.train",
    "DatasetMixin": "mltk.model.mixins.dataset",
    "EvaluateClassifierMixin": "mltk.model.mixins.evaluate",
}
"""The mixins that a message may recommend, and their modules."""


class HandlerError(MltkError):
    """A step after the main work of an operation (an event handler, an evaluation, a plot) failed.

    The output of the operation is kept.

    Attributes:
        results: The results that the operation would have returned.
        failures: What failed, one sentence each.
    """

    def __init__(self, message: str, results: object = None, failures: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.results = results
        self.failures = list(failures) or [message]

    @classmethod
    def of(cls, failures: list[str], results: object = None) -> HandlerError:
        """Return the error for these failures, one sentence each."""
        sentences = " ".join(f"{f.rstrip('.')}." for f in failures)
        return cls(f"{sentences} Everything else was done and kept.", results, failures)


class ModelBase:
    """Base of `MltkModel` and of all mixins."""

    name = Attribute("name", read_only=True, doc="The stem of the specification's file name.")
    model_specification_path = Attribute(
        "model_specification_path",
        read_only=True,
        doc="Path of the specification script; empty when there is none.",
    )
    test_mode_enabled = Attribute(
        "test_mode_enabled",
        read_only=True,
        doc="Whether operations make a small trial run; see `enable_test_mode`.",
    )
    _log_dir = Attribute("log_dir", type=(str, Path), default=None)

    _attributes: ModelAttributes
    _settings: ModelSettings
    _event_handlers: dict[str, list[tuple[Callable[..., Any], bool, dict[str, Any]]]]
    _failures: list[str]
    _silent: bool = False
    specification_module: ModuleType | None = None
    """The module of the specification, if it was loaded from a script."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(
                f"'{name}' is not a property of the model '{self.name}'.{property_hint(type(self), name)}"
            )
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"'{name}' is not a property of the model '{self.name}'.{property_hint(type(self), name)}"
        )

    @property
    def attributes(self) -> ModelAttributes:
        """All declared properties by dotted key."""
        return self._attributes

    def get_attribute(self, name: str) -> Any:
        """Return the value under a dotted key, e.g. `train.epochs`."""
        return self.attributes[name]

    def has_attribute(self, name: str) -> bool:
        """Return whether the mixins of the model declare a dotted key."""
        return name in self.attributes

    @property
    def settings(self) -> ModelSettings:
        """Settings of plugins, e.g. `my_model.settings["thermal.emissivity"] = 0.95`."""
        return self._settings

    def enable_test_mode(self) -> None:
        """Make this a trial run: three epochs, few samples, and separate files with `test` in their names."""
        self.attributes.stored["test_mode_enabled"] = True

    @contextlib.contextmanager
    def trial_run(self) -> Iterator[None]:
        """Enable test mode within the block."""
        before = self.test_mode_enabled
        self.enable_test_mode()
        try:
            yield
        finally:
            self.attributes.stored["test_mode_enabled"] = before

    @property
    def log_dir(self) -> str:
        """Folder for all files of operations on this model; created on first use.

        By default `<cache>/models/<name>`; `-test` is appended in test mode.
        """
        base = str(self._log_dir or cache_dir() / "models" / self.name)
        path = Path(base + "-test" if self.test_mode_enabled else base).expanduser()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise MltkError(
                f"The log folder {path} cannot be made: {e.strerror}. "
                f"Choose another with MLTK_CACHE_DIR, or my_model.log_dir."
            ) from e
        return str(path)

    @log_dir.setter
    def log_dir(self, value: str | Path) -> None:
        self._log_dir = value

    def create_log_dir(self, suffix: str = "", delete_existing: bool = False) -> str:
        """Create a folder below `log_dir` and return its path.

        Args:
            suffix: Relative name.
            delete_existing: Empty it first.
        """
        path = Path(self.log_dir) / suffix
        if delete_existing and suffix and path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def create_logger(self, name: str, parent: logging.Logger | None = None) -> logging.Logger:
        """Return a logger that also writes to `<log_dir>/<name>/log.txt`."""
        return file_logger(f"{self.name}.{name}", Path(self.create_log_dir(name)) / "log.txt", parent)

    def _log_file(self, ending: str) -> str:
        test = ".test" if self.test_mode_enabled else ""
        return str(Path(self.log_dir) / f"{self.name}{ending.format(test=test)}")

    @property
    def h5_log_dir_path(self) -> str:
        """The trained Keras model in the legacy HDF5 format."""
        return self._log_file("{test}.h5")

    @property
    def keras_log_dir_path(self) -> str:
        """The trained Keras model in Keras 3's own format."""
        return self._log_file("{test}.keras")

    @property
    def tflite_log_dir_path(self) -> str:
        """The quantized model."""
        return self._log_file("{test}.tflite")

    @property
    def unquantized_tflite_log_dir_path(self) -> str:
        """The float32 model in TensorFlow Lite format."""
        return self._log_file(".float32{test}.tflite")

    def add_event_handler(
        self,
        event: MltkModelEvent | str,
        handler: Callable[..., Any],
        _raise_exception: bool = False,
        **kwargs: Any,
    ) -> None:
        """Call `handler(mltk_model=, logger=, **event arguments, **kwargs)` on each `event`.

        Args:
            event: The event.
            handler: Called in the order of registration.
            _raise_exception: Let an exception of the handler end the operation at once; otherwise the operation
                continues and reports the failure at the end.
            **kwargs: Passed to the handler.

        Raises:
            SpecificationError: There is no such event, or the handler is not callable.
        """
        try:
            event = MltkModelEvent(str(event).lower())
        except ValueError:
            names = [e.name for e in MltkModelEvent]
            raise SpecificationError(
                f"There is no model event '{event}'.{did_you_mean(str(event).upper(), names)}"
            ) from None
        if not callable(handler):
            raise SpecificationError(f"The handler of {event.name} is not callable: {handler!r}.")
        self._event_handlers.setdefault(event, []).append((handler, _raise_exception, kwargs))

    def has_event_handler(self, event: MltkModelEvent) -> bool:
        """Return whether the specification handles an event."""
        return bool(self._event_handlers.get(event))

    @contextlib.contextmanager
    def silent_events(self) -> Iterator[None]:
        """Call no handlers and no hook `mltk_event` within the block."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def trigger_event(
        self, event: MltkModelEvent, logger: logging.Logger | None = None, **kwargs: Any
    ) -> None:
        """Call the handlers of `event`, then the hook `mltk_event`.

        Args:
            event: The event.
            logger: Passed to the handlers; mltk's by default.
            **kwargs: Arguments of the event.
        """
        if self._silent:
            return
        logger = logger or get_mltk_logger()
        for handler, raises, extra in self._event_handlers.get(event, ()):
            try:
                handler(mltk_model=self, logger=logger, **{**kwargs, **extra})
            except Exception as e:
                if raises:
                    raise
                self.record_failure(f"The handler '{_callable_name(handler)}' of {event.name} failed", e)
        get_plugin_manager().call_each("mltk_event", mltk_model=self, event=event, details=kwargs)

    def record_failure(self, what: str, error: BaseException) -> None:
        """Record a failure that does not stop the running operation; it is reported at the end."""
        message = f"{what}: {type(error).__name__}: {error}"
        get_mltk_logger().error(message)
        get_mltk_logger().debug("Traceback:", exc_info=error)
        self._failures.append(message)

    def raise_failures(self, results: object = None) -> None:
        """Raise `HandlerError` if failures were recorded since the last call.

        Args:
            results: Results of the operation, kept in the exception.
        """
        failures = self.take_failures()
        if failures:
            raise HandlerError.of(failures, results)

    def add_failures(self, failures: Iterable[str]) -> None:
        """Add failures from `take_failures` again."""
        self._failures += failures

    def take_failures(self) -> list[str]:
        """Return the failures recorded since the last call, and forget them."""
        failures, self._failures = self._failures, []
        return failures


def _callable_name(handler: Callable[..., Any]) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)


def property_hint(cls: type, name: str) -> str:
    """Name the mixin that has the property, or near matches."""
    for mixin_name, module in _MIXINS.items():
        mixin = getattr(import_module(module), mixin_name)
        if hasattr(mixin, name) and not issubclass(cls, mixin):
            return f" It belongs to {mixin_name}, which {cls.__name__} does not inherit."
    return did_you_mean(name, (n for n in dir(cls) if not n.startswith("_")))
