"""`AudioDatasetMixin`: the properties of a model whose samples are recordings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mltk.data.batches import CLASS_MODES
from mltk.errors import SpecificationError
from mltk.model.attributes import UNSET, Attribute, one_of
from mltk.model.mixins.data_generator import DataGeneratorDatasetMixin
from mltk.model.model import MltkModel

if TYPE_CHECKING:
    from mltk_plugin_audio.preprocess.audio_feature_generator import AudioFeatureGeneratorSettings

_SHAPE = MltkModel.input_shape.key
_DATAGEN = "audio.datagen"


def _as_datagen(value: Any) -> Any:
    from mltk_plugin_audio.generator import ParallelAudioDataGenerator

    if not isinstance(value, ParallelAudioDataGenerator):
        raise SpecificationError(
            f"my_model.datagen must be a ParallelAudioDataGenerator, not of type {type(value).__name__}."
        )
    return value


def _as_streaming_options(value: Any) -> Any:
    from mltk_plugin_audio.streaming import StreamingOptions

    StreamingOptions.from_mapping(value)
    return value


class _Datagen(Attribute):
    """The generator, from which the input shape follows."""

    def __set__(self, instance: Any, value: Any) -> None:
        stored = instance.attributes.stored
        super().__set__(instance, value)
        given = stored.get(_SHAPE, UNSET)
        if value is not None and (given is UNSET or given is None):
            stored[_SHAPE] = partial(_shape_of_datagen, instance)
        elif not callable(given):
            _refuse_other_shape(value, given)


class _InputShape(Attribute):
    """The input shape: computed while the front end is enabled, settable while it is not."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None and instance.attributes.stored.get(_SHAPE) is None:
            raise SpecificationError(
                f"The input shape of the model '{instance.name}' follows from its data generator. "
                f"Set it in the model specification: my_model.datagen = ParallelAudioDataGenerator(…)"
            )
        return super().__get__(instance, owner)

    def __set__(self, instance: Any, value: Any) -> None:
        prepared = self.prepare(value)
        _refuse_other_shape(instance.attributes.stored.get(_DATAGEN), prepared)
        instance.attributes.stored[_SHAPE] = prepared


def _shape_of_datagen(mltk_model: Any) -> tuple[int, ...]:
    return mltk_model.datagen.batch_sample_shape  # type: ignore[no-any-return]


def _refuse_other_shape(datagen: Any, shape: Any) -> None:
    if datagen is not None and datagen.frontend_enabled and shape is not None:
        raise SpecificationError(
            f"my_model.input_shape follows from the front end: it is {datagen.batch_sample_shape}, and cannot be "
            f"set to {shape!r}. Change frontend_settings, or give frontend_enabled=False to the data generator."
        )


class AudioDatasetMixin(DataGeneratorDatasetMixin):
    """Reads recordings from a folder with one folder per class.

    `dataset` is the folder; or a function, or a module with a function `load_data`, that returns it. A module may
    have a `list_valid_filenames_in_directory`, which then lists the files of a class.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # `MltkModel` usually comes before this class among the bases, and has a shape that can always be set.
        if "input_shape" not in vars(cls):
            cls.input_shape = cls.audio_input_shape  # type: ignore[attr-defined]

    datagen = _Datagen(
        _DATAGEN,
        convert=_as_datagen,
        doc="A `ParallelAudioDataGenerator`; reads the validation data too, unless the next is set.",
    )
    validation_datagen = Attribute(
        "audio.validation_datagen", default=None, convert=_as_datagen, doc="Generator of the validation data."
    )
    class_mode = Attribute(
        "audio.class_mode",
        type=str,
        default="categorical",
        convert=one_of("class_mode", CLASS_MODES),
        doc="What batches hold besides x: categorical, binary, sparse, input, or None.",
    )
    audio_classes = Attribute(
        MltkModel.classes.key,
        type=MltkModel.classes.type,
        convert=MltkModel.classes.convert,
        doc="The same as `classes`; may hold `_unknown_` and `_silence_`.",
    )
    audio_input_shape = _InputShape(
        _SHAPE,
        type=MltkModel.input_shape.type,
        lazy=True,
        doc="The same as `input_shape`: that of a spectrogram, with an axis of channels.",
    )
    follow_links = Attribute("audio.follow_links", type=bool, default=True, doc="Follow links to folders.")
    shuffle_dataset_enabled = Attribute(
        "audio.shuffle_dataset_enabled",
        type=bool,
        default=False,
        doc="Draw an order of each class's files once, and keep it in the log folder and in the archive.",
    )
    streaming_evaluation = Attribute(
        "audio.streaming_evaluation",
        type=dict,
        default={},
        convert=_as_streaming_options,
        doc="Options of the evaluator `streaming`, by name: see `mltk_plugin_audio.streaming.StreamingOptions`.",
    )

    @property
    def frontend_settings(self: Any) -> AudioFeatureGeneratorSettings:
        """Settings of the front end: those of the data generator."""
        return self.datagen.frontend_settings  # type: ignore[no-any-return]

    @property
    def sample_length_ms(self: Any) -> int:
        """Length of a clip in milliseconds."""
        return self.datagen.sample_length_ms  # type: ignore[no-any-return]

    @property
    def sample_rate_hz(self: Any) -> int:
        """Sample rate of clips."""
        return self.datagen.sample_rate_hz  # type: ignore[no-any-return]

    def summarize_dataset(self: Any) -> str:
        """Return the samples per class, and the settings of the generator that differ from the defaults."""
        from mltk.data.generator_loading import describe_subsets

        parts = [DataGeneratorDatasetMixin.summarize_dataset(self), describe_subsets(self, "Recordings")]
        return "\n\n".join(part for part in parts if part)
