"""Load the data of a model that inherits `TimeSeriesDatasetMixin`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mltk.data import ArrayParts, GeneratorLoader, load_generator_dataset, normalization_parameters
from mltk.errors import ArchiveFileNotFoundError, SpecificationError
from mltk.plugins import LoadedDataset, Parameter
from mltk_plugin_timeseries._settings import DOMAIN
from mltk_plugin_timeseries._statistics import ChannelStatistics
from mltk_plugin_timeseries.generator import ParallelTimeSeriesDataGenerator, TimeSeriesIterator, as_windows
from mltk_plugin_timeseries.mixins import TimeSeriesModel


def load_recordings(
    mltk_model: TimeSeriesModel, subset: str, test: bool, options: Mapping[str, object]
) -> LoadedDataset | None:
    """Load a subset: the answer of this plugin to `mltk_load_dataset`.

    Returns:
        `None` if `my_model.dataset` has its own `load_dataset`, or is not set.

    Raises:
        DatasetError: The data is missing or not usable.
        SpecificationError: A property of the model is missing or does not fit the data.
    """

    def make_loader(found: object) -> _RecordingLoader:
        data = found if isinstance(found, Path) else ArrayParts.of(found, mltk_model.name)
        return _RecordingLoader(mltk_model, data, test, options)

    return load_generator_dataset(mltk_model, subset, test, make_loader)


def make_parameters(mltk_model: TimeSeriesModel) -> dict[str, Parameter]:
    """Return the parameters that tell a device how to make and normalize windows."""
    datagen = mltk_model.attributes.stored.get("timeseries.datagen")
    if datagen is None:
        return {}
    parameters = normalization_parameters(datagen)
    if datagen.sample_rate is not None:
        parameters["timeseries.sample_rate"] = Parameter(float(datagen.sample_rate), "float")
    if datagen.channels is not None:
        parameters["timeseries.channels"] = Parameter(list(map(str, datagen.channels)), "str_list")
    statistics = find_statistics(mltk_model) or mltk_model.channel_statistics
    if datagen.featurewise_center and statistics is not None:
        std = statistics.std if datagen.featurewise_std_normalization else statistics.std * 0 + 1
        parameters["timeseries.mean"] = Parameter(statistics.mean.tolist(), "float_list")
        parameters["timeseries.std"] = Parameter(std.tolist(), "float_list")
    return parameters


def find_statistics(mltk_model: TimeSeriesModel) -> ChannelStatistics | None:
    """Return the statistics that the trained model was trained with; `None` if it was not trained.

    Raises:
        DatasetError: The file with them is damaged.
    """
    try:
        return ChannelStatistics.load(mltk_model.get_archive_dir("dataset"))
    except ArchiveFileNotFoundError:
        return ChannelStatistics.load(Path(mltk_model.log_dir) / "dataset")


class _RecordingLoader(GeneratorLoader):
    """Makes the iterators of one load."""

    def __init__(
        self,
        mltk_model: TimeSeriesModel,
        data: Path | ArrayParts,
        test: bool,
        options: Mapping[str, object],
    ) -> None:
        super().__init__(
            mltk_model,
            list(mltk_model.classes),
            test,
            options,
            held_out=isinstance(data, ArrayParts) and data.test is not None,
            folder=data if isinstance(data, Path) else None,
        )
        self._series_model = mltk_model
        self._arrays = data if isinstance(data, ArrayParts) else None
        self._statistics: ChannelStatistics | None = None

    def iterator(self, subset: str, augment: bool | None = None) -> TimeSeriesIterator:
        """Return the iterator of a subset; see `GeneratorLoader`."""
        model = self._series_model
        fits = subset == "training" and model.loaded_subset == "training"
        if not fits and self._statistics is None:
            self._statistics = find_statistics(model)
        if self._statistics is None and subset != "training":
            # Not trained yet: those of the training data, for a look at the other data.
            self._make_iterator("training", augment=False)
        iterator = self._make_iterator(subset, augment)
        if fits and self._statistics is not None:
            self._statistics.save(model.create_log_dir("dataset"))
        return iterator

    def _make_iterator(self, subset: str, augment: bool | None) -> TimeSeriesIterator:
        model = self._series_model
        datagen = model.get_datagen_creator(subset)()
        assert isinstance(datagen, ParallelTimeSeriesDataGenerator)
        if datagen.split_recordings and model.group_by is not None:
            raise SpecificationError(
                "my_model.group_by keeps recordings together, but split_recordings divides each: set one of them."
            )
        datagen.statistics = datagen.statistics or self._statistics
        self.prepare(datagen, subset, DOMAIN)
        if self._arrays is None:
            iterator = datagen.flow_from_directory(
                self.part_folder(subset),
                window_length=_get_input_shape(model)[0],
                **self.directory_arguments(subset, augment),
            )
        else:
            x, labels = self._arrays.select(self, subset, datagen.max_samples_per_class)
            flow = datagen.resolve_flow(subset=self.get_part(subset), **self.flow_arguments(subset, augment))
            iterator = datagen.flow_labels(as_windows(x), labels, flow, self.classes)
        self._statistics = model.channel_statistics = datagen.statistics
        wanted = _get_input_shape(model)
        if iterator.window_shape != wanted:
            raise SpecificationError(
                f"my_model.input_shape is {wanted}, but a window is {iterator.window_shape}: (rows, channels). "
                f"Channels: {', '.join(datagen.channel_names)}."
            )
        return iterator


def _get_input_shape(mltk_model: TimeSeriesModel) -> tuple[int, int]:
    shape = tuple(mltk_model.input_shape)
    if len(shape) != 2:
        raise SpecificationError(f"my_model.input_shape must be (rows, channels), got {shape}.")
    return shape
