"""`ParallelTimeSeriesDataGenerator`: iterators over windows of recordings in folders or arrays."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from mltk.data import FlowOptions, GeneratorIterator, Labels, ListFilenamesFunction, get_split, list_directory
from mltk.errors import DatasetError, SpecificationError
from mltk_plugin_timeseries._batches import TimeSeriesParams, WindowBatches, Windows
from mltk_plugin_timeseries._files import FILE_FORMATS
from mltk_plugin_timeseries._settings import TimeSeriesSettings
from mltk_plugin_timeseries._statistics import ChannelStatistics
from mltk_plugin_timeseries._windows import ArrayWindows, FileWindows

__all__ = ["ParallelTimeSeriesDataGenerator", "TimeSeriesIterator", "TimeSeriesParams"]


class TimeSeriesIterator(GeneratorIterator[WindowBatches]):
    """Batches of windows in seeded order: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Each epoch has every window exactly once; the last batch holds the remaining windows.
    """

    @property
    def window_shape(self) -> tuple[int, int]:
        """`(rows, channels)`."""
        return self.batches.params.window_shape

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels; empty for arrays."""
        return self.batches.params.channel_names


class ParallelTimeSeriesDataGenerator(TimeSeriesSettings):
    """Read recordings, cut them into windows, augment and standardize these in batches, on threads.

    Windows are float32 in the units of the recordings until they are standardized. The random draws of a batch depend
    only on the seed of the iterator, the epoch and the position of the batch: neither the number of threads nor an
    interruption changes anything.

    Order: read, resample and cut; `noaug_preprocessing_function`; augmentation steps of the stage `before`; the
    built-in step `timeseries_transforms` (rotation, shift with time warp, scale with magnitude warp, drift, jitter,
    cutout); steps of the stage `after`; `preprocessing_function`; standardization; mixup.

    A callback receives `(params, x)`: `TimeSeriesParams`, and a window `(rows, channels)`; and those of `class_id`,
    `filename`, `batch_index`, `batch_class_ids`, `batch_filenames` that its signature names. It returns the window.
    Callbacks run on several threads at once.

    Raises:
        SpecificationError: A setting does not exist, has the wrong type, or is out of range.
    """

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        window_length: int | None = None,
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        shuffle_index_dir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        follow_links: bool = False,
        subset: str | None = None,
        max_samples_per_class: int = -1,
        list_valid_filenames_in_directory_function: ListFilenamesFunction | None = None,
        class_counts: MutableMapping[str, int] | None = None,
        augment: bool | None = None,
        only: Sequence[str] | None = None,
    ) -> TimeSeriesIterator:
        """Return an iterator over the windows of the recordings in `<directory>/<class>/`.

        Args:
            directory: Folder with a folder for each class.
            window_length: Rows of a window, unless the setting `window_length` is given.
            classes: Class names in the order of their ids; `None`: all folders, sorted.
            class_mode: Content of a batch besides the windows: `categorical` (one-hot), `binary` or `sparse`
                (ids), `input` (the windows), `None`.
            batch_size: Windows in a batch.
            shuffle: Take windows in a new order in each epoch; else class by class.
            shuffle_index_dir: Folder that keeps a shuffled order of the files of each class.
            seed: Seed of the order and of the augmentation; `None` means 42.
            follow_links: Follow links to folders below the class folders.
            subset: `training` or `validation`, the parts that `validation_split` makes of the files (or of
                each recording, see `split_recordings`); `None` for everything. The validation subset
                is the same in every epoch.
            max_samples_per_class: Maximum number of files, and of windows, of each class; -1: that of the generator.
            list_valid_filenames_in_directory_function: Lists the files of a class, see
                `mltk.data.list_dataset_directory`.
            class_counts: Receives the number of windows of each class.
            augment: Apply the augmentation steps; `None`: as the settings say for this subset.
            only: Those of `classes` to read; ids stay those of `classes`.

        Raises:
            DatasetError: A folder is missing, a class has no window, or a file is not usable.
            SpecificationError: An argument or a setting is not valid.
        """
        self.check()
        flow = self.resolve_flow(subset, batch_size, shuffle, seed, augment)
        windowing = self.windowing(window_length)
        listing = list_directory(
            self,
            directory,
            formats=FILE_FORMATS,
            flow=replace(flow, subset=None) if self.split_recordings else flow,
            classes=classes,
            class_mode=class_mode,
            only=only,
            max_samples_per_class=max_samples_per_class,
            follow_links=follow_links,
            shuffle_index_dir=shuffle_index_dir,
            list_function=list_valid_filenames_in_directory_function,
        )
        files = [name for name in listing.names if name is not None]
        split = get_split(subset, self.validation_split)
        samples = FileWindows(
            listing.directory,
            files,
            windowing,
            self.reading_rules(),
            cache_bytes=self.cache_bytes,
            part=split if self.split_recordings else None,
        )
        limit = max_samples_per_class if max_samples_per_class >= 0 else self.max_samples_per_class
        ids = _limit_windows(samples, listing.labels.ids, limit)
        counts = {name: int((ids == i).sum()) for name, i in listing.class_indices.items()}
        for name in only or listing.classes:
            if not counts[name]:
                raise DatasetError(
                    f"No recording of the class '{name}' in '{listing.directory}' is as long as a window "
                    f"({windowing.length} rows)."
                )
        if class_counts is not None:
            class_counts.update({name: counts[name] for name in only or listing.classes})
        params = TimeSeriesParams(
            generator=self,
            subset=subset,
            split=split,
            directory=listing.directory,
            class_indices=listing.class_indices,
            class_mode=class_mode,
            window_shape=(windowing.length, len(samples.channels)),
            channel_names=samples.channels,
            rate=samples.rate,
        )
        return self._iterate(params, samples, Labels(ids, class_mode, len(listing.classes)), flow)

    def flow(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        seed: int | None = None,
        augment: bool | None = None,
    ) -> TimeSeriesIterator:
        """Return an iterator over windows in memory.

        Args:
            x: `(n, rows, channels)`, or `(n, rows)` of one channel.
            y: Labels, `(n,)` or `(n, …)`; batches hold them unchanged.
            batch_size: Windows in a batch.
            shuffle: Take windows in a new order in each epoch.
            sample_weight: Weight of each window, `(n,)`.
            seed: Seed of the order and of the augmentation; `None` means 42.
            augment: Apply the augmentation steps.

        Raises:
            DatasetError: Shapes do not fit.
            SpecificationError: An argument or a setting is not valid.
        """
        flow = self.resolve_flow(None, batch_size, shuffle, seed, augment)
        windows = as_windows(x)
        labels = None if y is None else np.asarray(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)
        for name, array in (("y", labels), ("sample_weight", weights)):
            if array is not None and len(array) != len(windows):
                raise DatasetError(f"x has {len(windows)} windows, but {name} has {len(array)} values.")
        ids = np.full(len(windows), -1)
        return self.flow_labels(windows, Labels(ids, None, values=labels, weights=weights), flow)

    def flow_labels(
        self, windows: np.ndarray, labels: Labels, flow: FlowOptions, classes: Sequence[str] = ()
    ) -> TimeSeriesIterator:
        """Return an iterator over the windows of one subset.

        Args:
            windows: `(n, rows, channels)`.
            labels: Their labels.
            flow: Options of the iterator.
            classes: Class names.

        Raises:
            SpecificationError: A setting is not valid.
        """
        self.check()
        params = TimeSeriesParams(
            generator=self,
            subset=flow.subset,
            split=get_split(flow.subset, self.validation_split),
            class_indices={name: i for i, name in enumerate(classes)},
            class_mode=labels.mode,
            window_shape=(windows.shape[1], windows.shape[2]),
            rate=self.sample_rate,
        )
        return self._iterate(params, ArrayWindows(windows), labels, flow)

    def fit(self, x: ArrayLike) -> None:
        """Compute the mean and the standard deviation of each channel.

        Args:
            x: Windows of the training data, `(n, rows, channels)`, or `(n, rows)` of one channel.

        Raises:
            DatasetError: `x` does not have three axes, or is empty.
        """
        self.statistics = ChannelStatistics.of(as_windows(x))

    def _iterate(
        self, params: TimeSeriesParams, samples: Windows, labels: Labels, flow: FlowOptions
    ) -> TimeSeriesIterator:
        channels = params.window_shape[1]
        self.channel_names = params.channel_names or tuple(map(str, range(channels)))
        if self.needs_statistics and self.statistics is None:
            if flow.subset == "validation":
                raise SpecificationError(
                    "The mean and deviation of the training data are not known: make the iterator of the training "
                    "data first, or call datagen.fit(x)."
                )
            self.statistics = ChannelStatistics.of(samples.recordings())
        if self.statistics is not None:
            self.statistics.check(channels)
        return TimeSeriesIterator(WindowBatches(self, params, samples, labels, flow))


def as_windows(x: ArrayLike) -> np.ndarray:
    """Return an array as windows, `(n, rows, channels)`.

    Raises:
        DatasetError: It has not three axes, or two for one channel; it is empty; or it holds NaN or infinity.
    """
    windows = np.asarray(x)
    if windows.ndim == 2:
        windows = windows[:, :, None]
    if windows.ndim != 3 or not len(windows):
        raise DatasetError(f"Windows must have the shape (n, rows, channels), got {windows.shape}.")
    if not np.isfinite(windows).all():
        raise DatasetError("The windows hold NaN or infinity.")
    return windows


def _limit_windows(samples: FileWindows, ids: np.ndarray, limit: int) -> np.ndarray:
    """Keep at most `limit` windows of each class, unless it is negative, and return the class id of each window."""
    ids = ids[samples.file_ids]
    if limit >= 0:
        rows = np.sort(np.concatenate([np.flatnonzero(ids == i)[:limit] for i in np.unique(ids)]))
        samples.select(rows)
        ids = ids[rows]
    return np.asarray(ids)
