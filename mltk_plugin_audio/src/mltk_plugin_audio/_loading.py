"""Loading of the data set of a model that inherits `AudioDatasetMixin`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mltk.data import GeneratorLoader, load_generator_dataset, normalization_parameters
from mltk.errors import DatasetError
from mltk.plugins import AugmentationStep, LoadedDataset, Parameter
from mltk_plugin_audio._speakers import get_speaker
from mltk_plugin_audio.generator import AudioIterator
from mltk_plugin_audio.mixins import AudioModel


def load_recordings(
    mltk_model: AudioModel, subset: str, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Load a subset: the answer of this plugin to `mltk_load_dataset`.

    Returns:
        `None` if `my_model.dataset` has its own `load_dataset`, or is not set.

    Raises:
        DatasetError: The data is missing or not usable.
        SpecificationError: A property of the model is missing or does not fit the data.
    """

    def make_loader(found: object) -> _AudioLoader:
        if not isinstance(found, Path):
            raise DatasetError(
                f"The data set of '{mltk_model.name}' is of type {type(found).__name__}; it must be a folder of "
                f"recordings."
            )
        return _AudioLoader(mltk_model, found, test, options)

    return load_generator_dataset(mltk_model, subset, test, make_loader)


def offer_steps(mltk_model: AudioModel, subset: str, domain: str) -> list[AugmentationStep]:
    """Return the built-in augmentation steps of a domain: the answer of this plugin to `mltk_augmentations`."""
    datagen = mltk_model.get_datagen_creator(subset)()
    return [step for step in datagen.built_in_steps() if step.domain == domain]


def make_parameters(mltk_model: AudioModel) -> dict[str, Parameter]:
    """Return the parameters that tell a device how to make and normalize spectrograms."""
    datagen = mltk_model.attributes.stored.get("audio.datagen")
    if datagen is None:
        return {}
    parameters = normalization_parameters(datagen)
    if datagen.frontend_enabled:
        parameters |= {name: Parameter(value) for name, value in datagen.frontend_settings.items()}
    return parameters


class _AudioLoader(GeneratorLoader):
    """Loader of one folder of recordings."""

    def __init__(
        self, mltk_model: AudioModel, directory: Path, test: bool, options: Mapping[str, object]
    ) -> None:
        super().__init__(
            mltk_model, list(mltk_model.classes), test, options, folder=directory, group_of=get_speaker
        )

    def iterator(self, subset: str, augment: bool | None = None) -> AudioIterator:
        """Return the iterator of a subset; see `GeneratorLoader`."""
        datagen = self.model.get_datagen_creator(subset)()
        self.prepare(datagen, subset, "audio", "spectrogram")
        iterator: AudioIterator = datagen.flow_from_directory(
            self.part_folder(subset), **self.directory_arguments(subset, augment)
        )
        return iterator
