"""What TensorFlow Lite Micro and the parameters of a model say about it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mltk.tflite.parameters import TfliteModelParameters
from mltk.utils.string_formatting import format_units
from mltk_plugin_tflm.arena import runtime_memory_size

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel


class TfliteMicroModelDetails:
    """Details of a model; texts are empty and numbers 0 if the `.tflite` has no such parameter."""

    accelerator = "none"
    """Kernels that run the model: always the reference kernels."""

    def __init__(self, model: TfliteModel) -> None:
        self._model = model
        self._parameters = TfliteModelParameters.load_from_tflite_model(model)

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self._parameters.get("name") or self._model.name)

    @property
    def version(self) -> int:
        """Version of the model."""
        return int(self._parameters.get("version") or 0)

    @property
    def date(self) -> str:
        """Date of the model."""
        return str(self._parameters.get("date") or "")

    @property
    def description(self) -> str:
        """Description of the model."""
        return self._model.description

    @property
    def classes(self) -> list[str]:
        """Class labels."""
        return list(self._parameters.get("classes") or [])

    @property
    def hash(self) -> str:
        """Hash of the model."""
        return str(self._parameters.get("hash") or "")

    @cached_property
    def runtime_memory_size(self) -> int:
        """Bytes of memory in use while the model runs on this computer."""
        return runtime_memory_size(self._model) or 0

    def __str__(self) -> str:
        lines = {
            "Name": self.name,
            "Version": self.version,
            "Date": self.date,
            "Description": self.description,
            "Hash": self.hash,
            "Accelerator": self.accelerator,
            "Classes": ", ".join(self.classes),
            "Total runtime memory": f"{format_units(self.runtime_memory_size)}Bytes",
        }
        return "\n".join(f"{label}: {value}" for label, value in lines.items())
