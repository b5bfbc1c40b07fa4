"""`MltkModel`: the object that a model specification fills in."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from mltk.errors import MltkError, SpecificationError, did_you_mean
from mltk.model.attributes import Attribute, ModelAttributes
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.archive import ArchiveMixin
from mltk.model.mixins.parameters import TfliteMetadataMixin, TfliteModelParametersMixin
from mltk.utils.files import cache_dir
from mltk.utils.logging import file_logger, get_mltk_logger

_NAME = re.compile(r"[a-zA-Z0-9_]+\Z")


def check_model_name(name: str) -> str:
    """Return `name` when it can be a model's name, i.e. has only ASCII letters, digits and underscores.

    Raises:
        SpecificationError: It has other characters.
    """
    if not _NAME.match(name):
        raise SpecificationError(
            f"'{name}' cannot be the name of a model: only letters, digits and '_' are allowed. "
            f"Rename the file, e.g. to '{re.sub('[^a-zA-Z0-9_]+', '_', name)}.py'."
        )
    return name


def _as_classes(value: Any) -> list[str] | tuple[str, ...]:
    wrong = [c for c in value if not isinstance(c, str)]
    if wrong:
        raise SpecificationError(f"my_model.classes must be names (str); {wrong[0]!r} is not.")
    twice = {c for c in value if list(value).count(c) > 1}
    if twice:
        raise SpecificationError(f"my_model.classes names '{min(twice)}' more than once.")
    return value  # type: ignore[no-any-return]


def _as_shape(value: Any) -> Any:
    for n in value:
        if n is not None and (not isinstance(n, int) or n < 1):
            raise SpecificationError(
                f"my_model.input_shape must have positive numbers (or None) only: {value!r}."
            )
    return value


def _as_seed(value: int) -> int:
    if not 0 <= value < 2**32:
        raise SpecificationError(f"my_model.seed must be from 0 to 4294967295, not {value}.")
    return value


class HandlerError(MltkError):
    """A step after the main work of an operation (an event handler, an evaluation, a plot) failed.

    The output of the operation is kept.

    Attributes:
        results: The results that the operation would have returned.
    """

    def __init__(self, message: str, results: object = None) -> None:
        super().__init__(message)
        self.results = results

    @classmethod
    def of(cls, failures: list[str], results: object = None) -> HandlerError:
        """Return the error for these failures, one sentence each."""
        sentences = " ".join(f"{f.rstrip('.')}." for f in failures)
        return cls(f"{sentences} Everything else was done and kept.", results)


class MltkModel(TfliteModelParametersMixin, TfliteMetadataMixin, ArchiveMixin):
    """A machine-learning model as its specification describes it.

    Combine it with mixins (`TrainMixin`, `DatasetMixin`, `EvaluateClassifierMixin`, …), make one instance, and set its
    properties. An unknown public name is refused.

    Args:
        model_script_path: The specification; by default the file in which the instance is made.
    """

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
    version = Attribute(
        "version", type=int, default=1, doc="Version of the model, embedded in the `.tflite`."
    )
    description = Attribute(
        "description",
        type=str,
        default="Model for TensorFlow Lite Micro, made with mltk",
        doc="Text for the description field of the `.tflite`.",
    )
    classes = Attribute(
        "dataset.classes",
        type=(list, tuple),
        convert=_as_classes,
        doc="Class names, in the order of the outputs.",
    )
    input_shape = Attribute(
        "dataset.input_shape",
        type=(list, tuple),
        lazy=True,
        convert=_as_shape,
        doc="Shape of one sample, without the batch axis.",
    )
    seed = Attribute(
        "seed",
        type=int,
        default=42,
        convert=_as_seed,
        doc="Governs the initial weights, the order of samples and all augmentation; 0 to 2³² − 1.",
    )
    keras_custom_objects = Attribute(
        "keras_custom_objects",
        type=dict,
        default={},
        doc="Layers, losses, … by name, needed to load the Keras file.",
    )

    specification_module: ModuleType | None = None
    """The module of the specification, while it is loaded from a script."""

    def __init__(self, model_script_path: str | Path | None = None) -> None:
        attributes = ModelAttributes(self)
        object.__setattr__(self, "_attributes", attributes)
        path = Path(model_script_path) if model_script_path else _calling_file(self)
        attributes.stored["model_specification_path"] = str(path.resolve()) if path else ""
        attributes.stored["name"] = check_model_name(path.stem if path else "my_model")
        attributes.stored["test_mode_enabled"] = False
        self._event_handlers: dict[str, list[tuple[Callable[..., Any], bool, dict[str, Any]]]] = {}
        self._failures: list[str] = []
        self._custom_commands: Any = None
        self.trigger_event(MltkModelEvent.BEFORE_MODEL_LOAD)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(
                f"'{name}' is not a property of the model '{self.name}'.{_property_hint(type(self), name)}"
            )
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"'{name}' is not a property of the model '{self.name}'.{_property_hint(type(self), name)}"
        )

    def __str__(self) -> str:
        return f"Name: {self.name}\nVersion: {self.version}\nDescription: {self.description}"

    @property
    def attributes(self) -> ModelAttributes:
        """All declared properties by dotted key."""
        return self._attributes  # type: ignore[no-any-return]

    def get_attribute(self, name: str) -> Any:
        """Return the value under a dotted key, e.g. `train.epochs`."""
        return self.attributes[name]

    def has_attribute(self, name: str) -> bool:
        """Tell whether a dotted key is declared by the model's mixins."""
        return name in self.attributes

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def enable_test_mode(self) -> None:
        """Make this a trial run: three epochs, few samples, and files of their own with `test` in their names."""
        self.attributes.stored["test_mode_enabled"] = True

    @contextlib.contextmanager
    def trial_run(self) -> Iterator[None]:
        """Be in test mode within the block."""
        before = self.test_mode_enabled
        self.enable_test_mode()
        try:
            yield
        finally:
            self.attributes.stored["test_mode_enabled"] = before

    @property
    def log_dir(self) -> str:
        """Folder for everything that operations on this model write; made on first use.

        `<cache>/models/<name>`, or what was assigned; `-test` is appended in test mode.
        """
        base = str(self._log_dir or cache_dir() / "models" / self.name)
        path = Path(base + "-test" if self.test_mode_enabled else base).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    @log_dir.setter
    def log_dir(self, value: str | Path) -> None:
        self._log_dir = value

    def create_log_dir(self, suffix: str = "", delete_existing: bool = False) -> str:
        """Make and return a folder below `log_dir`.

        Args:
            suffix: Relative name.
            delete_existing: Empty it first.
        """
        import shutil

        path = Path(self.log_dir) / suffix
        if delete_existing and suffix and path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def create_logger(self, name: str, parent: Any = None) -> Any:
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

    @property
    def cli(self) -> Any:
        """A `typer.Typer` application for the model's own commands: `mltk custom <model> <command>`."""
        if self._custom_commands is None:
            import typer

            self._custom_commands = typer.Typer(name=self.name, add_completion=False)
        return self._custom_commands

    def add_event_handler(
        self,
        event: MltkModelEvent | str,
        handler: Callable[..., Any],
        _raise_exception: bool = False,
        **kwargs: Any,
    ) -> None:
        """Call `handler(mltk_model=, logger=, **event arguments, **kwargs)` whenever `event` happens.

        Args:
            event: What to follow.
            handler: Called in the order of registration.
            _raise_exception: An exception of the handler ends the operation at once; otherwise the operation goes on
                and reports the failure when it is done.
            **kwargs: Passed on to the handler.

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

    def trigger_event(self, event: MltkModelEvent, logger: Any = None, **kwargs: Any) -> None:
        """Call the handlers of `event`, then the plugins' `mltk_event`.

        Args:
            event: What happened.
            logger: Given to the handlers; mltk's by default.
            **kwargs: The event's arguments.
        """
        logger = logger or get_mltk_logger()
        for handler, raises, extra in self._event_handlers.get(event, ()):
            try:
                handler(mltk_model=self, logger=logger, **{**kwargs, **extra})
            except Exception as e:
                if raises:
                    raise
                self.record_failure(f"The handler '{_callable_name(handler)}' of {event.name} failed", e)
        from mltk.plugins import call_each

        call_each("mltk_event", mltk_model=self, event=event, details=kwargs)

    def record_failure(self, what: str, error: BaseException) -> None:
        """Note a failure that must not stop the running operation but must not be lost either."""
        message = f"{what}: {type(error).__name__}: {error}"
        get_mltk_logger().error(message)
        get_mltk_logger().debug("Traceback:", exc_info=error)
        self._failures.append(message)

    def raise_failures(self, results: object = None) -> None:
        """Raise `HandlerError` when failures were recorded since the last call.

        Args:
            results: Kept in the exception, since the operation's work is done.
        """
        failures = self.take_failures()
        if failures:
            raise HandlerError.of(failures, results)

    def take_failures(self) -> list[str]:
        """Return the failures recorded since the last call, and forget them."""
        failures, self._failures = self._failures, []
        return failures

    def summary(self) -> str:
        """Return a text with name, version, description, classes and all parameters."""
        lines = [str(self)]
        if "dataset.classes" in self.attributes.stored:
            lines.append("Classes: " + ", ".join(self.classes))
        if self.attributes.stored.get("dataset.input_shape") is not None:
            lines.append("Input shape: " + "x".join(str(n) for n in self.input_shape))
        dataset = self.attributes.stored.get("dataset.dataset")
        if isinstance(dataset, str):
            lines.append(f"Dataset: {dataset}")
        self.populate_model_parameters()
        lines += [f"{key}: {value}" for key, value in self.model_parameters.items()]
        return "\n".join(lines)


def _callable_name(handler: Callable[..., Any]) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)


def _property_hint(cls: type, name: str) -> str:
    """Say which mixin has the property, or which name was probably meant."""
    from mltk.model.mixins.dataset import DatasetMixin
    from mltk.model.mixins.evaluate import EvaluateClassifierMixin
    from mltk.model.mixins.train import TrainMixin

    for mixin in (TrainMixin, DatasetMixin, EvaluateClassifierMixin):
        if hasattr(mixin, name) and not issubclass(cls, mixin):
            return f" It belongs to {mixin.__name__}, which {cls.__name__} does not inherit."
    return did_you_mean(name, (n for n in dir(cls) if not n.startswith("_")))


def _calling_file(instance: object) -> Path | None:
    """Return the file of the code that makes `instance`: the first caller that is not one of its `__init__`s."""
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_name == "__init__" and any(v is instance for v in frame.f_locals.values())
    ):
        frame = frame.f_back
    name = frame.f_globals.get("__file__")
    return Path(name) if name else None
