"""`AudioDatasetMixin`: the properties of a model whose samples are recordings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mltk.data import CLASS_MODES
from mltk.errors import SpecificationError
from mltk.model.attributes import UNSET, Attribute, one_of
from mltk.model.mixins.data_generator import DataGeneratorDatasetMixin
from mltk.model.model import MltkModel
from mltk_plugin_audio.frontend import AudioFeatureGeneratorSettings
from mltk_plugin_audio.generator import ParallelAudioDataGenerator
from mltk_plugin_audio.streaming.options import StreamingOptions

_SHAPE = MltkModel.input_shape.key
_DATAGEN = "audio.datagen"


def _check_datagen(value: object) -> ParallelAudioDataGenerator:
    if not isinstance(value, ParallelAudioDataGenerator):
        raise SpecificationError(
            f"my_model.datagen must be a ParallelAudioDataGenerator, not {type(value).__name__}."
        )
    return value


def _check_streaming_options(value: dict[str, object]) -> dict[str, object]:
    StreamingOptions.from_mapping(value)
    return value


class _Datagen(Attribute):
    """The data generator, which determines the input shape."""

    def __set__(self, instance: MltkModel, value: ParallelAudioDataGenerator | None) -> None:
        stored = instance.attributes.stored
        super().__set__(instance, value)
        given = stored.get(_SHAPE, UNSET)
        if value is not None and (given is UNSET or given is None):
            stored[_SHAPE] = partial(_get_sample_shape, instance)
        elif not callable(given):
            _refuse_other_shape(value, given)


class _InputShape(Attribute):
    """The input shape: computed with the front end, assignable without it."""

    def __get__(self, instance: MltkModel | None, owner: type | None = None) -> object:
        if instance is not None and instance.attributes.stored.get(_SHAPE) is None:
            raise SpecificationError(
                f"The input shape of the model '{instance.name}' follows from its data generator. "
                f"Set it in the model specification: my_model.datagen = ParallelAudioDataGenerator(…)"
            )
        return super().__get__(instance, owner)

    def __set__(self, instance: MltkModel, value: object) -> None:
        prepared = self.prepare(value)
        _refuse_other_shape(instance.attributes.stored.get(_DATAGEN), prepared)
        instance.attributes.stored[_SHAPE] = prepared


def _get_sample_shape(mltk_model: MltkModel) -> tuple[int, ...]:
    datagen: ParallelAudioDataGenerator = mltk_model.datagen
    return datagen.batch_sample_shape


def _refuse_other_shape(datagen: ParallelAudioDataGenerator | None, shape: object) -> None:
    if datagen is not None and datagen.frontend_enabled and shape is not None:
        raise SpecificationError(
            f"my_model.input_shape follows from the front end: it is {datagen.batch_sample_shape}, and cannot be "
            f"set to {shape!r}. Change frontend_settings, or pass frontend_enabled=False to the data generator."
        )


class AudioDatasetMixin(DataGeneratorDatasetMixin):
    """Data set of recordings in a folder with one folder per class.

    `dataset` is the folder, or a function or a module with a function `load_data` that returns it. A module may
    define `list_valid_filenames_in_directory`, which then lists the files of a class.
    """

    samples_name = "Recordings"

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        # `MltkModel` usually comes before this class among the bases, with a shape that can always be assigned.
        if "input_shape" not in vars(cls):
            setattr(cls, "input_shape", cls.audio_input_shape)  # noqa: B010 (a declared attribute for type checkers)

    datagen = _Datagen(
        _DATAGEN,
        convert=_check_datagen,
        doc="`ParallelAudioDataGenerator` that reads the data, including validation data unless the next is set.",
    )
    validation_datagen = Attribute(
        "audio.validation_datagen",
        default=None,
        convert=_check_datagen,
        doc="Generator of the validation data.",
    )
    class_mode = Attribute(
        "audio.class_mode",
        type=str,
        default="categorical",
        convert=one_of("class_mode", CLASS_MODES),
        doc="Second element of a batch: categorical, binary, sparse, input, or None.",
    )
    audio_classes = Attribute(
        MltkModel.classes.key,
        type=MltkModel.classes.type,
        convert=MltkModel.classes.convert,
        doc="Alias of `classes`; may include `_unknown_` and `_silence_`.",
    )
    audio_input_shape = _InputShape(
        _SHAPE,
        type=MltkModel.input_shape.type,
        lazy=True,
        doc="Alias of `input_shape`: the shape of a spectrogram with the channel axis.",
    )
    follow_links = Attribute("audio.follow_links", type=bool, default=True, doc="Follow links to folders.")
    shuffle_dataset_enabled = Attribute(
        "audio.shuffle_dataset_enabled",
        type=bool,
        default=False,
        doc="Shuffle the files of each class once, and keep the order in the log folder and in the archive.",
    )
    streaming_evaluation = Attribute(
        "audio.streaming_evaluation",
        type=dict,
        default={},
        convert=_check_streaming_options,
        doc="Options of the evaluator `streaming` by name; see `mltk_plugin_audio.streaming.StreamingOptions`.",
    )

    @property
    def frontend_settings(self) -> AudioFeatureGeneratorSettings:
        """Front end settings of the data generator."""
        return self._audio_datagen.frontend_settings

    @property
    def sample_length_ms(self) -> int:
        """Length of a clip in milliseconds."""
        return self._audio_datagen.sample_length_ms

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of clips in Hz."""
        return self._audio_datagen.sample_rate_hz

    @property
    def _audio_datagen(self) -> ParallelAudioDataGenerator:
        datagen: ParallelAudioDataGenerator = self.datagen
        return datagen


if TYPE_CHECKING:

    class AudioModel(MltkModel, AudioDatasetMixin):
        """A specification that inherits `AudioDatasetMixin`."""
else:
    AudioModel = MltkModel
