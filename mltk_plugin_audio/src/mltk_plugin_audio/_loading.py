"""Load the data of a model that inherits `AudioDatasetMixin`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mltk.data.generator_loading import GeneratorLoader, normalization_parameters, resolve_data
from mltk.errors import DatasetError
from mltk.plugins import LoadedDataset, Parameter
from mltk_plugin_audio.generator import AudioIterator


def load_recordings(
    mltk_model: Any, subset: str, test: bool, options: Mapping[str, Any]
) -> LoadedDataset | None:
    """Load a subset; the answer of this plugin to `mltk_load_dataset`.

    Returns:
        `None` when `my_model.dataset` has a `load_dataset` of its own, or is not set.

    Raises:
        DatasetError: The data is missing or not usable.
        SpecificationError: A property of the model is missing or does not fit the data.
    """
    dataset = mltk_model.dataset
    if dataset is None or hasattr(dataset, "load_dataset"):
        return None
    # Which order of the files holds depends on it, see `get_shuffle_index_dir`.
    mltk_model.loaded_subset = subset
    found = resolve_data(mltk_model, subset, test)
    if found is None:
        return LoadedDataset()
    if not isinstance(found, Path):
        raise DatasetError(
            f"The data set of '{mltk_model.name}' is of type {type(found).__name__}; it must be a folder of "
            f"recordings."
        )
    return _Loader(mltk_model, str(found), test, options).load(subset)


def audio_parameters(mltk_model: Any) -> dict[str, Parameter]:
    """Return the parameters that tell a device how spectrograms are normalised and made."""
    datagen = mltk_model.attributes.stored.get("audio.datagen")
    if datagen is None:
        return {}
    parameters = normalization_parameters(datagen)
    if datagen.frontend_enabled:
        parameters |= {name: Parameter(value) for name, value in datagen.frontend_settings.items()}
    return parameters


class _Loader(GeneratorLoader):
    """Makes the iterators of one load."""

    def __init__(self, mltk_model: Any, directory: str, test: bool, options: Mapping[str, Any]) -> None:
        super().__init__(mltk_model, list(mltk_model.classes), test, options)
        self._directory = directory

    def iterator(self, subset: str, augment: bool | None = None) -> AudioIterator:
        model = self.model
        datagen = model.get_datagen_creator(subset)()
        self.prepare(datagen, subset, "audio", "spectrogram")
        iterator: AudioIterator = datagen.flow_from_directory(
            self._directory,
            classes=self.classes,
            only=self.options.get("classes"),
            class_mode=model.class_mode,
            shuffle_index_dir=model.get_shuffle_index_dir(),
            follow_links=model.follow_links,
            subset=self.part(subset),
            list_valid_filenames_in_directory_function=getattr(
                model.dataset, "list_valid_filenames_in_directory", None
            ),
            **self.iterator_arguments(subset, augment),
        )
        return iterator
