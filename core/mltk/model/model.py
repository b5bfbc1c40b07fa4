"""`MltkModel`, the object that a model specification creates and configures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute, ModelAttributes
from mltk.model.base import HandlerError, ModelBase
from mltk.model.event import MltkModelEvent
from mltk.model.mixins.archive import ArchiveMixin
from mltk.model.mixins.parameters import TfliteMetadataMixin, TfliteModelParametersMixin
from mltk.model.settings import ModelSettings

if TYPE_CHECKING:
    import typer

__all__ = ["HandlerError", "MltkModel", "check_model_name"]

_NAME = re.compile(r"[a-zA-Z0-9_]+\Z")


def check_model_name(name: str) -> str:
    """Return `name` if it is a valid model name: ASCII letters, digits and underscores.

    Raises:
        SpecificationError: It contains other characters.
    """
    if not _NAME.match(name):
        raise SpecificationError(
            f"'{name}' cannot be the name of a model: only letters, digits and '_' are allowed. "
            f"Rename the file, e.g. to '{re.sub('[^a-zA-Z0-9_]+', '_', name)}.py'."
        )
    return name


def _as_classes(value: Sequence[str]) -> Sequence[str]:
    wrong = [c for c in value if not isinstance(c, str)]
    if wrong:
        raise SpecificationError(f"my_model.classes must be names (str); {wrong[0]!r} is not.")
    twice = {c for c in value if list(value).count(c) > 1}
    if twice:
        raise SpecificationError(f"my_model.classes names '{min(twice)}' more than once.")
    return value


def _as_shape(value: Sequence[int | None]) -> Sequence[int | None]:
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


class MltkModel(TfliteModelParametersMixin, TfliteMetadataMixin, ArchiveMixin, ModelBase):
    """A machine-learning model, described by its specification.

    Combine the class with mixins (`TrainMixin`, `DatasetMixin`, `EvaluateClassifierMixin`, …), create one instance,
    and set its properties. Unknown public names are refused.

    Args:
        model_script_path: The specification; by default the file that creates the instance.
    """

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

    def __init__(self, model_script_path: str | Path | None = None) -> None:
        attributes = ModelAttributes(self)
        object.__setattr__(self, "_attributes", attributes)
        path = Path(model_script_path) if model_script_path else _calling_file(self)
        attributes.stored["model_specification_path"] = str(path.resolve()) if path else ""
        attributes.stored["name"] = check_model_name(path.stem if path else "my_model")
        attributes.stored["test_mode_enabled"] = False
        self._event_handlers: dict[str, list[tuple[Callable[..., Any], bool, dict[str, Any]]]] = {}
        self._failures: list[str] = []
        self._settings = ModelSettings()
        self._custom_commands: typer.Typer | None = None
        self.trigger_event(MltkModelEvent.BEFORE_MODEL_LOAD)

    def __str__(self) -> str:
        return f"Name: {self.name}\nVersion: {self.version}\nDescription: {self.description}"

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def cli(self) -> typer.Typer:
        """A `typer.Typer` application for the model's own commands: `mltk custom <model> <command>`."""
        if self._custom_commands is None:
            import typer

            self._custom_commands = typer.Typer(name=self.name, add_completion=False)
        return self._custom_commands

    def summary(self) -> str:
        """Return a text with name, version, description, classes and all parameters."""
        lines = [str(self)]
        if "dataset.classes" in self.attributes.stored:
            lines.append("Classes: " + ", ".join(self.classes))
        if self.attributes.stored.get("dataset.input_shape") is not None:
            lines.append("Input shape: " + "x".join(str(n) for n in self.input_shape))
        dataset = self.attributes.stored.get("dataset.dataset")
        if isinstance(dataset, str):
            # Without the folders around it: the summary goes into the archive.
            lines.append(f"Dataset: {Path(dataset).name if Path(dataset).is_absolute() else dataset}")
        self.populate_model_parameters()
        lines += [f"{key}: {value}" for key, value in self.model_parameters.items()]
        return "\n".join(lines)


def _calling_file(instance: object) -> Path | None:
    """Return the file that creates `instance`: that of the first caller outside its `__init__` methods."""
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_name == "__init__" and any(v is instance for v in frame.f_locals.values())
    ):
        frame = frame.f_back
    name = frame.f_globals.get("__file__")
    return Path(name) if name else None
