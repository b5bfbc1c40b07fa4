"""Model parameters and further metadata for the `.tflite` file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mltk.errors import SpecificationError
from mltk.model.attributes import Attribute
from mltk.model.base import ModelBase
from mltk.plugins import get_plugin_manager

if TYPE_CHECKING:
    from mltk.tflite import TfliteModel
    from mltk.tflite.parameters import TfliteModelParameters


def _as_parameters(value: Any) -> TfliteModelParameters:
    from mltk.tflite.parameters import TfliteModelParameters

    return value if isinstance(value, TfliteModelParameters) else TfliteModelParameters(value)


class TfliteModelParametersMixin(ModelBase):
    """The parameters of a model: typed values that are embedded in the `.tflite` file."""

    _model_parameters = Attribute("model.parameters", type=Mapping, convert=_as_parameters)
    _populate_callbacks = Attribute("model.populate_callbacks", type=list, default=[])

    @property
    def model_parameters(self) -> TfliteModelParameters:
        """The parameters; values are checked when they are put. Assigning a dict replaces all."""
        from mltk.tflite.parameters import TfliteModelParameters

        stored: dict[str, Any] = self.attributes.stored
        if stored.get("model.parameters") is None:
            stored["model.parameters"] = TfliteModelParameters()
        return stored["model.parameters"]  # type: ignore[no-any-return]

    @model_parameters.setter
    def model_parameters(self, value: Mapping[str, Any]) -> None:
        self._model_parameters = value

    def set_model_parameter(self, key: str, value: Any, dtype: str | None = None) -> None:
        """Set a parameter, with its type on the wire if `dtype` is given.

        Args:
            key: Name.
            value: bool, int, float, str, bytes, or a list of str, int or float.
            dtype: One of `mltk.tflite.parameters.DTYPES`.
        """
        self.model_parameters.put(key, value, dtype=dtype)

    def add_model_parameter_populate_callback(self, callback: Callable[[], object]) -> None:
        """Call `callback()` before the parameters are written."""
        self._populate_callbacks.append(callback)

    def populate_model_parameters(self, tflite_model: TfliteModel | None = None) -> None:
        """Add the parameters that callbacks and plugins (`mltk_model_parameters`) offer.

        Values of the specification take precedence.

        Args:
            tflite_model: The model to embed them in, if there is one.
        """
        for callback in self._populate_callbacks:
            callback()
        offered: dict[str, Any] = self.__dict__.setdefault("_offered_parameters", {})
        offers = get_plugin_manager().collect_offers(
            "mltk_model_parameters", mltk_model=self, tflite_model=tflite_model
        )
        # What is not offered any more, such as a value that was computed for other weights, goes.
        for key in [key for key in offered if key not in offers]:
            if self.model_parameters.get(key) == offered.pop(key):
                self.model_parameters.pop(key, None)
        for key, parameter in offers.items():
            # An offer may have changed since the last call; values of the specification stay.
            mine = key in offered and self.model_parameters.get(key) == offered[key]
            if mine or key not in self.model_parameters:
                self.model_parameters.put(key, parameter.value, dtype=parameter.dtype)
                offered[key] = self.model_parameters[key]


@dataclass(frozen=True)
class TfliteModelMetadataEntry:
    """A further metadata section of the `.tflite` file.

    Attributes:
        tag: Name of the section.
        serialize_callback: Returns its bytes; `None` or nothing leaves it out.
        deserialize_callback: Is given the bytes of a file's section.
        summary_callback: Returns text for the summary.
    """

    tag: str
    serialize_callback: Callable[[], bytes | None]
    deserialize_callback: Callable[[bytes], object] | None = None
    summary_callback: Callable[[], str] | None = None


class TfliteMetadataMixin(ModelBase):
    """Further metadata sections of a model."""

    tflite_metadata_entries = Attribute(
        "tflite.model_metadata", type=list, default=[], doc="Sections added with `add_tflite_metadata_entry`."
    )

    def add_tflite_metadata_entry(self, entry: TfliteModelMetadataEntry) -> None:
        """Write another metadata section into the `.tflite`.

        Raises:
            SpecificationError: A section of that name was added before.
        """
        if any(e.tag == entry.tag for e in self.tflite_metadata_entries):
            raise SpecificationError(f"The metadata section '{entry.tag}' was added twice.")
        self.tflite_metadata_entries.append(entry)

    def serialize_tflite_metadata(self) -> dict[str, bytes]:
        """Return the sections that have content, by tag."""
        content = ((e.tag, e.serialize_callback()) for e in self.tflite_metadata_entries)
        return {tag: data for tag, data in content if data}

    def deserialize_tflite_metadata(self, metadata: Mapping[str, bytes]) -> None:
        """Pass the bytes of each section of a file to its entry."""
        for entry in self.tflite_metadata_entries:
            if entry.deserialize_callback and entry.tag in metadata:
                entry.deserialize_callback(metadata[entry.tag])

    def get_tflite_metadata_summary(self, include_tag: bool = True, exclude_tag: str | None = None) -> str:
        """Return the entries' summaries, one paragraph each.

        Args:
            include_tag: Put the section's name before it.
            exclude_tag: A section to leave out.
        """
        parts = [
            f"{e.tag}: {e.summary_callback()}" if include_tag else e.summary_callback()
            for e in self.tflite_metadata_entries
            if e.summary_callback and e.tag != exclude_tag
        ]
        return "\n".join(parts)
